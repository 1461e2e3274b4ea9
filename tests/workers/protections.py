"""What a floor in the outbox must not pass over, and what is not purged, to be removed by `python -m tests.crash.mutations H`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

FLOOR: Final = "tests/workers/test_floor.py::test_"
RELAYS: Final = "tests/workers/test_floor_of_relays.py::test_"
QUERY: Final = "shared_lib/queries/floor.py"
RELAY: Final = "shared_lib/workers/relay.py"
PURGE: Final = "tests/phases/test_housekeeping.py::test_"
PAST: Final = "shared_lib/queries/past.py"
KEPT: Final = "shared_lib/store/migrations/versions/0013_what_grows_is_bounded.py"
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
        (Edit(RELAY, "self._floor.reset()", "pass"),),
    ),
    Mutation(
        "H",
        "a transaction takes an id before its xid",
        f"{RELAYS}each_way_into_the_outbox_has_its_xid_first",
        (Edit(MIGRATION, "BEGIN PERFORM pg_current_xact_id(); RETURN NULL; END", "BEGIN RETURN NULL; END"),),
    ),
    Mutation(
        "H",
        "mails that a person has to look at are purged",
        f"{PURGE}mails_that_were_sent_go_after_400_days_and_those_that_wait_stay",
        (
            Edit(PAST, "AND status IN ('sent', 'skipped') ", ""),
            Edit("shared_lib/phases/housekeeping.py", " AND status IN ('sent', 'skipped')", ""),
        ),
    ),
    Mutation(
        "H",
        "dead letters that wait are purged",
        f"{PURGE}dead_letters_go_90_days_after_they_were_replayed_or_dismissed",
        (
            Edit(PAST, " AND (replayed_at IS NOT NULL OR dismissed_at IS NOT NULL)", ""),
            Edit(
                "shared_lib/phases/housekeeping.py",
                " AND (replayed_at IS NOT NULL OR dismissed_at IS NOT NULL)",
                "",
            ),
        ),
    ),
    Mutation(
        "H",
        "notes of repairs of the last year may be deleted",
        f"{PURGE}what_operators_did_is_kept_three_years_and_the_last_year_whatever_is_asked",
        (Edit(KEPT, "interval '1 year'", "interval '1 hour'"),),
    ),
    Mutation(
        "H",
        "expired keys are looked for from the first row of the table on",
        "tests/phases/test_plans.py::test_every_statement_finds_its_rows_by_an_index",
        (Edit(PAST, "ORDER BY expires_at LIMIT", "LIMIT"),),
    ),
)
