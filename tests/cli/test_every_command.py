"""What holds for every command of `boxoffice`: JSON, a name for who changed something, completion, errors in words."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from typer.main import get_command

from infra.servers.access import role_url
from shared_lib.cli.main import app
from shared_lib.processes import Role
from tests.kit.cinema import Cinema
from tests.kit.command import Run
from tests.kit.waiting import PATIENCE_S

# They change nothing; `new` writes files of a checkout, which Git remembers.
LOOKING: Final = {
    "explain", "doctor", "outbox", "lag", "repairs", "dead-letters list", "dead-letters show", "notifications list",
    "catalog list", "clock show", "new door", "new event", "new mail",
}  # fmt: skip


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


COMMANDS: Final = dict(commands(get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_and_json_and_notes_who_changed_what_and_why(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert COMMANDS[name].help
    assert "--json" in options
    assert ({"--as", "--because"} <= options) is (name not in LOOKING)
    for parameter in COMMANDS[name].params:
        assert parameter.param_type_name == "argument" or parameter.help, parameter.name


@pytest.mark.parametrize(
    ("command", "verb", "target"),
    [
        (("catalog", "retire", "prc_metropolis_buy"), "retire", "prc_metropolis_buy"),
        (("catalog", "add-price", "prd_metropolis", "rental", "299", "EUR"), "add-price", "prc_"),
        (("tick", "renewal"), "tick", "billing.tick.renewal"),
        (("clock", "advance", "1d"), "advance 1d", "test_clock"),
    ],
    ids=["retire", "add-price", "tick", "advance"],
)
async def test_what_a_command_changes_is_noted_with_who_and_why(
    cinema: Cinema, run: Run, command: tuple[str, ...], verb: str, target: str
) -> None:
    printed = await run(*command, "--as", "olga", "--because", "ticket 4711", "--json")
    assert json.loads(printed[printed.rindex("{") :])  # the doors of this process may have logged before it
    ((by, noted, about, why),) = cinema.rows("SELECT made_by, verb, target, because FROM repairs")
    assert (by, noted, why) == ("olga", verb, "ticket 4711")
    assert about.startswith(target)
    (told,) = json.loads(await run("repairs", about, "--json"))
    assert told["because"] == "ticket 4711"


@pytest.mark.parametrize(
    "command", [("catalog", "retire", "prc_none"), ("clock", "advance", "soon")], ids=" ".join
)
async def test_what_was_not_done_is_not_noted(cinema: Cinema, run: Run, command: tuple[str, ...]) -> None:
    await run(*command, status=2)
    assert cinema.value("SELECT count(*) FROM repairs") == 0


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("explain", ""), "Argument 2 is empty"),
        (("notifications", "list", " "), "Argument 3 is empty"),
        (("repairs", ""), "Argument 2 is empty"),
        (("dead-letters", "replay", "", "--all"), "Argument 3 is empty"),
        (("tick", "renewal", "--because="), "--because is empty"),
        (("explain", "\udcff"), "Argument 2 is not UTF-8"),
        (("tick", "renewal", "--as=\udcff"), "--as is not UTF-8"),
        (("catalog", "add-price", "prd_stalker", "rental", "9" * 26, "EUR"), "out of range"),
        (("catalog", "add-price", "prd_basic", "subscription", "399", "EUR", "--every", "one", "month"), "invalid input"),
        (("catalog", "add-price", "prd_basic", "rental", "399", "EUR", "--trial-days", "9" * 12), "out of range"),
        (("catalog", "add-price", "two words", "rental", "399", "EUR", "--title", "x"), "is not the id of a product"),
        (("clock", "advance", "999999d" * 4), "is too long"),
    ],
)  # fmt: skip
async def test_what_cannot_be_meant_is_refused_on_one_line(
    cinema: Cinema, run: Run, command: tuple[str, ...], says: str
) -> None:
    before = cinema.rows("SELECT id FROM products UNION ALL SELECT id FROM prices")
    assert await run(*command, status=2) == ""
    assert says in run.err
    assert run.err.count("\n") == 1
    assert cinema.value("SELECT count(*) FROM repairs") == 0
    assert cinema.rows("SELECT id FROM products UNION ALL SELECT id FROM prices") == before


async def test_tables_of_another_version_are_said_in_words(
    run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", empty_database_url)
    for command in (("explain", "ord_1"), ("catalog", "list"), ("notifications", "list"), ("outbox",)):
        assert await run(*command, status=2) == ""
        assert "Run python -m shared_lib.store.migrate." in run.err
        assert "Traceback" not in run.err


async def test_a_command_that_waits_for_a_lock_too_long_ends_in_words(
    cinema: Cinema, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = role_url(cinema.database_url, Role.OPERATOR)
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", url)
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=50ms")
    with psycopg.connect(cinema.database_url) as other:
        other.execute("SELECT 1 FROM prices WHERE id = 'prc_metropolis_buy' FOR UPDATE")
        await run("catalog", "retire", "prc_metropolis_buy", status=2)
    assert "The database ended the command: canceling statement due to lock timeout" in run.err


async def test_what_the_runtime_logs_is_not_the_answer_of_a_command(
    cinema: Cinema, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXOFFICE_EVENT_ROUTES", '{"billing.tick.reconcile": "http://127.0.0.1:1"}')
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "shared_lib.cli.main", "tick", "reconcile", "--json"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "does the door run and answer" in line


def test_a_shell_completes_commands() -> None:
    asked = {
        "_BOXOFFICE_COMPLETE": "complete_bash",
        "COMP_WORDS": "boxoffice notifications re",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "shared_lib.cli.main"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["resend"], done.stderr
