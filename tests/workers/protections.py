"""What a floor in the outbox must not pass over, to be removed by `python -m tests.crash.mutations H`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

FLOOR: Final = "tests/workers/test_floor.py::test_"
RELAYS: Final = "tests/workers/test_floor_of_relays.py::test_"
QUERY: Final = "shared_lib/queries/floor.py"
RELAY: Final = "shared_lib/workers/relay.py"
MIGRATION: Final = "shared_lib/store/migrations/versions/0012_an_xid_before_an_id.py"

MUTATIONS: Final = (
    Mutation(
        "H",
        "the floor moves while a transaction below its mark runs",
        f"{FLOOR}an_event_of_a_transaction_that_is_held_open_is_not_passed_over",
        (Edit(QUERY, "if not (await tx.fetch(ended, [mark.xid]))[0][0]:", "if False:"),),
    ),
    Mutation(
        "H",
        "a mark is the end of the snapshot instead of an xid of its own",
        f"{FLOOR}a_running_transaction_above_the_last_finished_one_holds_the_floor",
        (
            Edit(
                QUERY,
                "SELECT pg_current_xact_id()::text",
                "SELECT pg_snapshot_xmax(pg_current_snapshot())::text",
            ),
        ),
    ),
    Mutation(
        "H",
        "rows that stay below the floor are not named",
        f"{FLOOR}a_job_that_waits_for_its_time_is_named_and_does_not_hold_the_floor",
        (Edit(QUERY, "named=left[:NAMED_MAX]", "named=[]"),),
    ),
    Mutation(
        "H",
        "a sequence that gave no id counts as one that gave its first",
        f"{FLOOR}a_relay_that_starts_reads_everything_and_on_an_empty_outbox_passes_over_nothing",
        (Edit(QUERY, "CASE WHEN is_called THEN 0 ELSE 1 END", "0"),),
    ),
    Mutation(
        "H",
        "what stands below the floor is never looked for",
        f"{FLOOR}a_row_below_the_floor_is_found_when_the_whole_outbox_is_looked_at",
        (Edit(QUERY, "NO_FLOOR if ask.whole else floor", "floor"),),
    ),
    Mutation(
        "H",
        "a relay keeps its floor when its session is lost",
        f"{RELAYS}a_relay_that_lost_its_session_begins_with_the_first_row",
        (Edit(RELAY, "self._floor.forget()", "pass"),),
    ),
    Mutation(
        "H",
        "a transaction takes an id before its xid",
        f"{RELAYS}each_way_into_the_outbox_has_its_xid_first",
        (Edit(MIGRATION, "BEGIN PERFORM pg_current_xact_id(); RETURN NULL; END", "BEGIN RETURN NULL; END"),),
    ),
)
