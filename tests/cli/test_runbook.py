"""The runbook has an entry for every alarm, and its commands work."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import psycopg
import pytest

from infra.servers.access import role_url
from shared_lib.processes import Role
from tests.kit.command import parsed

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
LOUD = {"warning", "error", "exception", "critical"}
BACKLOG = {"outbox": "Backlog: outbox", "unknown_payments": "Unknown payments", "parked": "Parked webhooks",
           "orphaned": "Orphaned webhooks", "dead_letters": "`dead_letter`", "set_aside": "`set_aside`"}  # fmt: skip


def alarms() -> set[str]:
    """What shared_lib and functions log at warning or above; of a format string, the words before its first value."""
    found = set()
    for path in (path for room in ("shared_lib", "functions") for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case (
                    ast.Call(
                        func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                        args=[name, *_],
                    )
                    | ast.Call(  # a decision's line in the journal of its case
                        func=ast.Attribute(attr="log"),
                        args=[ast.Constant(value=str(level)), name, *_],
                    )
                ) if level in LOUD:
                    for event in texts(name):
                        found.add(
                            " ".join(word for word in event.partition("=")[0].split() if "%" not in word)
                        )
                case _:
                    pass
    return found


def texts(name: ast.expr) -> list[str]:
    """What the name of an event may be."""
    match name:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one), *texts(other)]
        case _:
            return []


def headings() -> set[str]:
    return set(re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE))


def test_every_alarm_has_an_entry_and_every_entry_an_alarm() -> None:
    written = {heading.strip("`") for heading in headings() if heading.startswith("`")}
    assert alarms() == written


def test_every_backlog_figure_has_an_entry() -> None:
    assert set(BACKLOG.values()) <= headings()


def test_every_entry_says_what_it_means_and_what_to_do() -> None:
    for entry in RUNBOOK.split("\n### ")[1:]:
        assert "**Means.**" in entry, entry[:40]
        assert "**Do.**" in entry, entry[:40]


def test_the_queries_of_the_runbook_fit_the_schema(database_url: str) -> None:
    queries = re.findall(r'psql -c "([^"]+)"', RUNBOOK)
    assert len(queries) > 8
    with psycopg.connect(database_url) as db:
        for query in queries:
            db.execute(f"EXPLAIN {query}".encode())


def test_the_queries_of_the_runbook_need_no_more_than_the_role_it_names(database_url: str) -> None:
    queries = re.findall(r'psql -c "([^"]+)"', RUNBOOK)
    assert {query.split()[0] for query in queries} == {"SELECT", "UPDATE"}
    with (
        psycopg.connect(role_url(database_url, Role.SUPPORT)) as support,
        psycopg.connect(role_url(database_url, Role.OWNER)) as owner,
    ):
        for query in queries:
            db = owner if query.startswith("UPDATE") else support
            db.execute(f"EXPLAIN {query}".encode())


def test_the_commands_of_the_runbook_can_be_typed() -> None:
    commands = {command.split()[0]: command for command in re.findall(r"`boxoffice ([^`]+)`", RUNBOOK)}
    assert set(commands) >= {"explain", "doctor", "dead-letters", "tick"}
    for command in re.findall(r"`boxoffice ([^`]+)`", RUNBOOK):
        parsed(command.split())


def test_a_command_that_is_none_is_refused() -> None:
    with pytest.raises(KeyError):
        parsed(["pray"])
    with pytest.raises(Exception, match="unexpected extra argument"):
        parsed(["explain", "ord_1", "pay_1"])
