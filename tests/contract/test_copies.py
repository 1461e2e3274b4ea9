"""Files that repeat the table of routes: each difference is named with its file and line, and with what mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import pytest

from infra.kubernetes import generate
from infra.nginx import doors
from infra.nginx.doors import service
from infra.openfaas.routes import GATEWAY, routes
from shared_lib.contract.routes import EVENT_ROUTES

ROOT = Path(__file__).parents[2]
GENERATED = {doors.FILE: (doors.table(), "python -m infra.nginx.doors")} | {
    path: (text, generate.COMMAND) for path, text in generate.files().items()
}


def different_line(path: str, found: str, wanted: str) -> str | None:
    """`docker-compose.yml:49: ... instead of ...` for the first line that is another one, None when none is."""
    lines = zip_longest(found.splitlines(), wanted.splitlines())
    for number, (is_there, should_be) in enumerate(lines, 1):
        if is_there != should_be:
            return f"{path}:{number}: {is_there!r} instead of {should_be!r}"
    return None


def misrouted(path: str, text: str, wanted: Mapping[str, str]) -> list[str]:
    """Entries `"type": "address"` of a file that the table of routes does not have, and those it lacks."""
    found: dict[str, str] = {}
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        for kind, address in re.findall(r'"((?:billing|cinema)\.[\w.]*)": "(http[^"]+)"', line):
            found[kind] = address
            if wanted.get(kind) != address:
                wrong.append(f"{path}:{number}: {kind} goes to {address} instead of {wanted.get(kind)}")
    lacking = [
        f'{path}: "{kind}": "{address}" is missing' for kind, address in wanted.items() if kind not in found
    ]
    return wrong + lacking


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_is_what_its_generator_writes(path: Path) -> None:
    wanted, command = GENERATED[path]
    difference = different_line(str(path.relative_to(ROOT)), path.read_text(), wanted)
    assert difference is None, f"{difference}\nrun: {command}"


def test_events_go_where_the_table_says_in_compose() -> None:
    wanted = {kind: f"http://{service(door)}:8080" for kind, door in EVENT_ROUTES.items()}
    assert misrouted("docker-compose.yml", (ROOT / "docker-compose.yml").read_text(), wanted) == []


def test_events_go_where_the_table_says_on_openfaas() -> None:
    page = (ROOT / "docs/openfaas.md").read_text()
    assert misrouted("docs/openfaas.md", page, routes(GATEWAY)) == []
    (line,) = re.findall(r"^BOXOFFICE_EVENT_ROUTES=(.+)$", page, re.MULTILINE)
    assert json.loads(line) == routes(GATEWAY)


def test_a_difference_is_named_with_its_file_and_line() -> None:
    assert different_line("a", "one\ntwo\n", "one\ntwo\n") is None
    assert different_line("a", "one\ntwo\n", "one\nthree\n") == "a:2: 'two' instead of 'three'"
    assert different_line("a", "one\n", "one\ntwo\n") == "a:2: None instead of 'two'"
    text = '# routes\n{"billing.job.a": "http://renew", "billing.": "http://notify"}'
    assert misrouted(
        "a", text, {"billing.job.a": "http://refund", "billing.": "http://notify", "billing.b": "x"}
    ) == [
        "a:2: billing.job.a goes to http://renew instead of http://refund",
        'a: "billing.b": "x" is missing',
    ]
