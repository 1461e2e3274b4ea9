"""What bounds how long others keep us waiting, to be removed by `python -m tests.crash.mutations B`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

BOUNDS: Final = "tests/store/test_bounds.py::test_"
POLLS: Final = "tests/edge/test_long_polls.py::test_"
WATCHING: Final = "shared_lib/watching.py"
LIES: Final = "tests/edge/test_redis_lies.py::test_"
BLOCKED: Final = "shared_lib/store/blocked.py"
COALESCER: Final = "tests/store/test_coalescer.py::test_"

MUTATIONS: Final = (
    Mutation(
        "B",
        "no lock time out",
        f"{BOUNDS}only_the_items_that_need_a_locked_row_wait_for_it",
        (
            Edit("shared_lib/store/bounds.py", "LOCK_WAIT_S: Final = 0.5", "LOCK_WAIT_S: Final = 60.0"),
            Edit("shared_lib/store/bounds.py", "STATEMENT_S: Final = 5.0", "STATEMENT_S: Final = 60.0"),
        ),
    ),
    Mutation(
        "B",
        "a blocked batch waits as a whole",
        f"{BOUNDS}only_the_items_that_need_a_locked_row_wait_for_it",
        (Edit(BLOCKED, "blocked = await self._commit_the_others(phase, batch)", "blocked = batch[:0]"),),
    ),
    Mutation(
        "B",
        "a blocked item is tried until the lock goes",
        f"{BOUNDS}a_chunk_keeps_what_is_not_blocked",
        (Edit(BLOCKED, "asyncio.timeout_at(deadline)", "asyncio.timeout_at(deadline + 600)"),),
    ),
    Mutation(
        "B",
        "a server that does not answer is waited for",
        f"{BOUNDS}a_server_that_falls_silent_is_given_up",
        (Edit("shared_lib/store/bounds.py", "wire.shutdown(socket.SHUT_RDWR)", "wire.detach()"),),
    ),
    Mutation(
        "B",
        "a statement may take as long as it likes",
        f"{BOUNDS}a_statement_that_takes_too_long_is_ended_by_the_server",
        (
            Edit(
                "shared_lib/store/bounds.py",
                '"statement_timeout": STATEMENT_S,',
                '"statement_timeout": 600.0,',
            ),
        ),
    ),
    Mutation(
        "B",
        "an empty variable is a value",
        "tests/test_settings.py::test_an_empty_variable_is_one_that_is_not_set[redis_url]",
        (
            Edit("shared_lib/provider_settings.py", "env_ignore_empty=True, ", ""),
            Edit("shared_lib/addresses.py", "    if not value:\n        return None\n", ""),
        ),
    ),
    Mutation(
        "B",
        "a setting that is refused is printed",
        "tests/test_settings.py::test_a_wrong_setting_is_named_and_not_repeated",
        (Edit("shared_lib/provider_settings.py", ", hide_input_in_errors=True", ""),),
    ),
    Mutation(
        "B",
        "an unexpected error of the connection to Redis reaches the caller",
        "tests/store/test_replay.py::test_whatever_goes_wrong_in_the_client_library_every_claim_is_answered",
        (Edit("shared_lib/store/replay.py", "except Exception as error:", "except OSError as error:"),),
    ),
    Mutation(
        "B",
        "a writer that dies leaves its callers waiting",
        f"{COALESCER}when_a_writer_dies_all_who_wait_for_it_are_answered_and_the_next_caller_is_served",
        (Edit("shared_lib/store/batch.py", "            refuse(lane.waiting, error)\n", ""),),
    ),
    Mutation(
        "B",
        "blocked items wait for a task that died",
        f"{COALESCER}when_sorting_out_dies_the_blocked_are_answered",
        (Edit(BLOCKED, "died=partial(refuse, batch)", "died=lambda _: None"),),
    ),
    Mutation(
        "B",
        "claims wait for a task that died",
        "tests/store/test_replay.py::test_when_the_task_that_asks_redis_is_stopped_every_claim_is_answered",
        (Edit("shared_lib/store/replay.py", "        _answer(waiting, [None] * len(waiting))\n", ""),),
    ),
    Mutation(
        "B",
        "long polls wait for a look that died",
        "tests/edge/test_long_polls.py::test_when_the_look_is_stopped_all_who_wait_are_answered_and_the_next_poll_starts_another",
        (
            Edit(
                WATCHING,
                "        self._looking = None\n        self._fail(error)\n",
                "        self._looking = None\n",
            ),
        ),
    ),
    Mutation(
        "B",
        "a fetch of keys that is stopped stops its callers",
        "tests/auth/test_keys.py::test_a_fetch_that_is_stopped_answers_its_callers_and_the_next_one_is_made",
        (Edit("shared_lib/jwks.py", "await asyncio.wait([task])", "await asyncio.shield(task)"),),
    ),
    Mutation(
        "B",
        "a list in Redis fails every claim that travels with it",
        "tests/store/test_replay.py::test_a_key_that_holds_no_text_is_unreadable_and_disturbs_no_other",
        (Edit("shared_lib/store/replay.py", "redis.pcall('GETRANGE'", "redis.call('GETRANGE'"),),
    ),
    Mutation(
        "B",
        "a reply in Redis is believed without a seal",
        f"{LIES}a_repeated_request_hears_what_postgresql_kept",
        (Edit("shared_lib/store/seals.py", "return value if any(good) else None", "return value"),),
    ),
    Mutation(
        "B",
        "a seal says nothing of the place",
        f"{LIES}a_repeated_request_hears_what_postgresql_kept",
        (Edit("shared_lib/store/seals.py", 'place.encode() + b"\\0" + value', "value"),),
    ),
    Mutation(
        "B",
        "behind a mark the request itself is not compared",
        f"{LIES}a_repeated_request_hears_what_postgresql_kept",
        (
            Edit(
                "shared_lib/store/keys.py",
                "if fingerprint != key.fingerprint:\n        return",
                "if not fingerprint:\n        return",
            ),
        ),
    ),
    Mutation(
        "B",
        "a poll goes on when its caller has hung up",
        f"{POLLS}a_connection_that_ends_is_noticed_however_long_it_would_have_waited",
        (Edit(WATCHING, "= [poll.changed, gone]", "= [poll.changed]"),),
    ),
    Mutation(
        "B",
        "a customer may wait as often as they like",
        f"{POLLS}one_customer_may_wait_so_often_and_takes_no_place_of_others",
        (Edit(WATCHING, ">= PER_CUSTOMER:", ">= PER_INSTANCE:"),),
    ),
    Mutation(
        "B",
        "a look that fails is not told to those who wait",
        f"{POLLS}when_looking_fails_all_who_wait_are_answered",
        (Edit(WATCHING, "poll.changed.set_exception(error)", "_ = error"),),
    ),
    Mutation(
        "B",
        "a tick reads every webhook of the last 30 days",
        "tests/phases/test_reads_of_ticks.py::test_a_tick_reads_no_rows_that_are_done",
        (
            Edit(
                "shared_lib/store/migrations/versions/0010_orphaned_webhooks.py",
                "op.execute(\"CREATE INDEX inbox_orphaned ON inbox (received_at) WHERE status = 'orphaned'\")",
                "pass",
            ),
        ),
    ),
)
