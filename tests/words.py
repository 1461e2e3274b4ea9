"""What no file of this repository may say: `python -m tests.words [FILE...]` prints each place and fails when there is one.

tests/test_words.py asks it about every file, a hook of pre-commit about those of a commit. CONTRIBUTING.md says why.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from shared_lib.visible import say

ROOT: Final = Path(__file__).resolve().parents[1]


class Rule(NamedTuple):
    """A pattern, what to do about it, and the places where it is meant: files or folders, the latter with a slash."""

    pattern: re.Pattern[str]
    advice: str
    except_in: tuple[str, ...] = ()

    def concerns(self, path: str) -> bool:
        return not any(
            path == place or (place[-1] == "/" and path.startswith(place)) for place in self.except_in
        )


# Written by others, made by a tool, or a record of what was said then. This file and its test name what they forbid.
OUTSIDE: Final = (
    "LICENSE", "requirements.lock", "requirements-dev.lock", "tests/words.py", "tests/test_words.py", "tests/test_hooks.py",
)  # fmt: skip
PAST: Final = ("CHANGELOG.md", "docs/decisions/", "shared_lib/store/migrations/versions/")
VAGUE: Final = (
    "nobody",
    "whoever",
    "anybody",
    "everybody",
    "somebody",
    "for ever",
    "anew",
    "is told",
    "are told",
    "by itself",
)

_QUOTED = r"[`\"']"  # the user `nobody` of a system is meant
_HOSTS = "pypi|pythonhosted|npmjs|crates|maven|debian"
RULES: Final = (
    Rule(
        re.compile(rf"(?<!{_QUOTED})\b({'|'.join(VAGUE)})\b(?!{_QUOTED}|[:@]|\.[{_QUOTED[1:-1]}]| apart)", re.IGNORECASE),
        "name the subject: the relay, the provider, the caller, the customer, another process",
        PAST,
    ),
    Rule(
        re.compile(rf"\b({_HOSTS})\.(org|io|com)\b"),
        "name no package registry: each machine has its own",
    ),
    Rule(
        re.compile(r"(?<![\w.~-])/(work|root|home|Users)/\w"),
        "name no path of one machine",
    ),
    Rule(
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\b[sr]k_live_\w{8}"
            r"|\bgh[pousr]_\w{30}|\bxox[abp]-\w{8}|\bAIza[\w-]{30}"
        ),
        "commit no secret; one that was committed must be replaced",
        ("tests/edge/test_redaction.py",),  # examples of what is hidden from logs
    ),
)  # fmt: skip


class Finding(NamedTuple):
    path: str
    line: int
    said: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.said!r}: {self.advice}"


def findings(path: str, text: str, rules: Iterable[Rule] = RULES) -> Iterator[Finding]:
    """Each place in `text`, which stands in the file `path` (relative to the repository), that breaks a rule."""
    if path in OUTSIDE:
        return
    for rule in rules:
        if rule.concerns(path):
            for match in rule.pattern.finditer(text):
                yield Finding(path, text.count("\n", 0, match.start()) + 1, match[0], rule.advice)


def tracked() -> list[str]:
    """Every file that git knows, relative to the repository."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], check=True, capture_output=True, text=True)
    return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]


def found_in(paths: Iterable[str], rules: Iterable[Rule] = RULES) -> list[Finding]:
    """What these files say that they may not. Files that are no text are passed over."""
    found: list[Finding] = []
    for path in paths:
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        found += findings(path, text, tuple(rules))
    return found


def main(paths: list[str]) -> int:
    found = found_in(paths or tracked())
    for finding in found:
        say(finding, sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
