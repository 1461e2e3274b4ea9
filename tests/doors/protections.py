"""What keeps calls from being held or lost where platforms start and stop doors, to be removed by `python -m tests.crash.mutations D`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

ASGI: Final = "shared_lib/web/asgi.py"
MOUNTED: Final = "shared_lib/mounted.py"
FILES: Final = "tests/doors/test_mounted_secrets.py::test_"
READY: Final = "tests/doors/test_ready.py::test_"
STOP: Final = "tests/doors/test_stop.py::test_"
PLAIN: Final = "tests/doors/test_plain_framework.py::test_"
GATED: Final = "shared_lib/web/gated.py"
UNDER_LOAD: Final = f"{STOP}a_door_that_is_stopped_under_load_answers_every_request"
POLLS: Final = f"{STOP}long_polls_are_answered_when_their_door_is_stopped"

MUTATIONS: Final = (
    Mutation(
        "D",
        "readiness asks the database each time",
        f"{READY}while_postgresql_is_away_a_warm_door_stays_ready_and_answers_503_itself",
        (Edit(ASGI, "if self._stopping.is_set():\n            return", "self._warm = (await refuses(self._rt)) is None\n        if self._stopping.is_set():\n            return"),
         Edit(ASGI, "            self._stopping = rt.stopping\n", "            self._stopping, self._rt = rt.stopping, rt\n")),
    ),
    Mutation(
        "D",
        "a door is ready before its database has answered",
        f"{READY}a_door_that_starts_before_the_migration_becomes_ready_after_it",
        (Edit(ASGI, 'PlainTextResponse("ready") if self._warm', 'PlainTextResponse("ready") if True'),),
    ),
    Mutation(
        "D",
        "a call is worked on before the database has answered",
        f"{READY}in_production_a_door_that_starts_before_its_database_works_with_none_that_it_must_not_use",
        (Edit(ASGI, "elif not self._warm:", "elif False:"),),
    ),
    Mutation(
        "D",
        "a database that came late is not looked at",
        f"{READY}in_production_a_door_that_starts_before_its_database_works_with_none_that_it_must_not_use",
        (Edit(ASGI, "await rt.read(refuse_test_clock, None, within_s=FIRST_ANSWER_S)", "pass"),),
    ),
    Mutation("D", "the server stops at the signal", UNDER_LOAD, (Edit("shared_lib/stopping.py", "loop.call_later(drain_s, stop)", "stop()"),)),
    Mutation("D", "a door that is going says that it is ready", UNDER_LOAD, (Edit(ASGI, 'return PlainTextResponse("stopping", 503)', "pass"),)),
    Mutation("D", "a door that is going keeps connections", UNDER_LOAD, (Edit(ASGI, "if self._stopping.is_set() and message", "if False and message"),)),
    Mutation("D", "under the plain framework requests reach a function past its door", f"{PLAIN}a_door_serves_and_refuses_under_the_plain_framework_as_in_production", (Edit(GATED, "if PASSED in request.scope:", "if True:"),)),
    Mutation("D", "a plain door is opened by each request", f"{PLAIN}the_first_requests_open_the_door_once_whichever_way_the_framework_is_started", (Edit(GATED, "if self._life is None or self._life.done():", "if True:"),)),
    Mutation("D", "a plain door is not closed before its server stops", f"{PLAIN}a_plain_door_that_is_stopped_under_load_answers_every_request", (Edit("shared_lib/stopping.py", "owned(close(), ", "owned(asyncio.sleep(0), "),)),
    Mutation("D", "long polls are cut off", f"{POLLS}[short]", (Edit("shared_lib/watching.py", "if self._rt.stopping.is_set():", "if False:"),)),
    Mutation("D", "a process takes each file that lies there", f"{FILES}each_process_takes_what_is_on_its_list_and_nothing_else", (Edit(MOUNTED, "in (*variables_of(process), *variables_of_providers(process)):", "in [path.name for path in Path(directory).iterdir()]:"),)),
    Mutation("D", "of two values for a secret one is taken", f"{FILES}a_secret_that_is_given_twice_is_refused", (Edit(MOUNTED, 'not in ("", value):', 'in ("no",):'),)),
    Mutation("D", "an unreadable secret is shown", f"{FILES}what_is_no_line_is_refused_by_its_name", (Edit(MOUNTED, "({type(error).__name__})\")", "({error})\")"), Edit(MOUNTED, "does not hold one line", "does not hold one line: {text[:9]}"))),
    Mutation("D", "those who wait behind others wait for the database a second time", "tests/store/test_coalescer.py::test_while_the_database_is_away_those_who_wait_behind_others_wait_no_second_time", (Edit("shared_lib/store/batch.py", "timeout=limits.connection_s()", ""),)),
)  # fmt: skip
