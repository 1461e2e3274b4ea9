"""`boxoffice new`, as CONTRIBUTING.md shows it, in a copy of the tree: what it writes passes the tests that compare copies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = (ROOT / "CONTRIBUTING.md").read_text()
COMMANDS: Final = re.findall(r"^make new ARGS=\"(.+?)\"", GUIDE, re.MULTILINE)
# What compares a door, an event or a mail with the rest of the tree.
COMPARING: Final = (
    "tests/contract",
    "tests/mail/test_render.py",
    "tests/test_pages.py",
    "tests/test_words.py",
    "tests/test_secret_settings.py",
    "tests/compose/test_compose_file.py",
    "tests/compose/test_doors_conf.py",
    "tests/local/test_kubernetes_files.py",
    "tests/local/test_secrets.py",
    "tests/doors/test_openfaas.py",
    "tests/doors/test_plain_framework.py::test_every_door_has_a_call_and_an_event_here",
    "tests/doors/test_plain_framework.py::test_a_door_serves_and_refuses_under_the_plain_framework_as_in_production[gift_cards]",
    "tests/doors/test_plain_framework.py::test_a_door_serves_and_refuses_under_the_plain_framework_as_in_production[gift_expiry]",
    "tests/events/test_content_modes.py::test_every_door_takes_an_event_in_each_mode_of_the_sdk",
    "tests/edge/test_events_refused.py::test_a_malformed_event_is_refused_for_good_by_every_door",
)


def run(tree: Path, *argv: str, within: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=tree / within,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def new(tree: Path, *arguments: str, within: str = "") -> subprocess.CompletedProcess[str]:
    return run(tree, "shared_lib.cli.main", "new", *arguments, within=within)


@pytest.fixture
def tree(server_folders: Callable[[], Path]) -> Path:
    """The files of this tree, in a repository of their own."""
    copy = server_folders()
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in (name.decode() for name in names if name):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
            (copy / name).chmod((ROOT / name).stat().st_mode)
    for argv in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *argv], cwd=copy, check=True)
    return copy


@pytest.mark.slow
def test_the_guide_makes_doors_an_event_and_a_mail_that_pass_the_tests(tree: Path) -> None:
    assert [command.split()[0] for command in COMMANDS] == ["door", "door", "event", "mail"]
    for command in COMMANDS:
        made = new(tree, *command.split(), "--json")
        assert made.returncode == 0, made.stderr
        assert all((tree / path).exists() for path in json.loads(made.stdout)["changed"])
    for argv in (
        ("ruff", "format", "--check", "shared_lib", "functions", "tests"),
        ("ruff", "check", "shared_lib", "functions", "tests"),
        ("mypy", "shared_lib", "functions"),
        ("shared_lib.cli.docs", "--check"),
        ("pytest", "-q", "-p", "no:cacheprovider", *COMPARING),
    ):
        passed = run(tree, *argv)
        assert passed.returncode == 0, passed.stdout + passed.stderr


def test_what_cannot_be_made_says_why_and_changes_nothing(tree: Path) -> None:
    before = changed(tree)
    for *arguments, why in (
        ("door", "Gift", "cannot name a door"),
        ("door", "refund", "exists already"),
        ("door", "orders", "belongs to another door"),
        ("door", "gifts", "--job", "Gift", "cannot name a job"),
        ("door", "gifts", "--job", "start_refund", "exists already"),
        ("event", "billing.weather.changed", "cannot name a fact"),
        ("event", "billing.order.paid", "exists already"),
        ("mail", "billing.weather.changed", "is no fact"),
        ("mail", "billing.subscription.canceled", "has a mail already"),
        ("mail", "billing.order.created", "write it by hand"),
    ):
        refused = new(tree, *arguments)
        assert refused.returncode == 2, (arguments, refused)
        assert why in refused.stderr
    assert changed(tree) == before
    nowhere = new(tree, "door", "gift_cards", within="docs")
    assert nowhere.returncode == 2
    assert "run this in a checkout" in nowhere.stderr
    assert changed(tree) == before


def changed(tree: Path) -> str:
    return subprocess.run(
        ["git", "status", "--short"], cwd=tree, capture_output=True, text=True, check=True
    ).stdout
