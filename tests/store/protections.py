"""What bounds how long others keep us waiting, to be removed by `python -m tests.crash.mutations B`."""

from __future__ import annotations

from typing import Final

from tests.crash.protections import Edit, Mutation

BOUNDS: Final = "tests/store/test_bounds.py::test_"
BATCH: Final = "shared_lib/store/batch.py"
BLOCKED: Final = "shared_lib/store/blocked.py"

MUTATIONS: Final = (
    Mutation(
        "B",
        "no lock time out",
        f"{BOUNDS}only_the_items_that_need_a_locked_row_wait_for_it",
        (Edit("shared_lib/store/bounds.py", '"lock_timeout": LOCK_WAIT_S,', '"lock_timeout": 60.0,'),),
    ),
    Mutation(
        "B",
        "a blocked batch waits as a whole",
        f"{BOUNDS}only_the_items_that_need_a_locked_row_wait_for_it",
        (Edit(BLOCKED, "if len(batch) == 1:", "if batch:"),),
    ),
    Mutation(
        "B",
        "a blocked item is tried until the lock goes",
        f"{BOUNDS}many_who_wait_for_a_lock_leave_writers_to_the_others[1]",
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
)
