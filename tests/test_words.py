"""The words of the repository: no vague subjects, no secrets, nothing of one machine; the glossary's bans hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.words import ROOT, findings, found_in, tracked


def test_no_file_says_what_none_may() -> None:
    assert [str(finding) for finding in found_in(tracked())] == []


@pytest.mark.parametrize(
    "said",
    [
        "Nobody answers.",
        "it stops by itself",
        "the relay is told",
        "made\nanew",
        "in " + "/wo" + "rk/main",
        "from https://py" + "pi.org/simple",
        "-----BEGIN EC PRIVATE " + "KEY-----",
        "AKIA" + "ABCDEFGHIJKLMNOP",
    ],
)
def test_what_is_forbidden_is_found_with_its_line(said: str) -> None:
    (finding,) = findings("README.md", "A first line.\n" + said)

    assert finding.line >= 2
    assert str(finding).startswith(f"README.md:{finding.line}: ")


@pytest.mark.parametrize(
    "said", ["runs as `nobody`", 'USER = "nobody"', "nobody:x:65534", "it told itself", "/workers/x"]
)
def test_what_only_resembles_it_is_not(said: str) -> None:
    assert list(findings("README.md", said)) == []


def test_code_says_no_word_that_the_glossary_bans() -> None:
    """Words in `code` in the last column of the table are banned in code; the others only where they mislead."""
    page = (ROOT / "docs" / "glossary.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    banned = {word: say for say, words in rows for word in re.findall(r"`([^`]+)`", words)}
    assert len(banned) > 10

    pattern = re.compile(rf"(?:^|_)({'|'.join(map(re.escape, banned))})s?(?:_|$)", re.IGNORECASE)
    said = {
        f"{path}: {match[1]}, say {banned[match[1].lower()]}"
        for path in tracked()
        if path.startswith(("shared_lib/", "functions/")) and path.endswith(".py")
        for name in _names(ROOT / path)
        if (match := pattern.search(name))
    }
    assert said == set()


def _names(path: Path) -> set[str]:
    """Every name that a module defines: functions, classes, arguments, variables, fields."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name))
            case ast.arg():
                names.add(node.arg)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case _:
                pass
    return names
