"""No text makes a regular expression of ours, of NGINX's configuration or a log line take more than linear time."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

from tests.edge.ambiguity import superlinear
from tests.edge.patterns import ROOT, Pattern, all_patterns, attacks

PATTERNS: Final = all_patterns()
ATTACK_CHARS: Final = 30_000
CHILD_LIMIT_S: Final = (
    120  # a linear matcher needs one; a quadratic one that reads 30,000 characters needs hours
)

WORST: Final = """
import json, re, sys
for text, flags, searched, attacks in json.load(sys.stdin):
    pattern = re.compile(text, flags)
    for attack in attacks:
        (pattern.search if searched else pattern.fullmatch)(attack)
"""


def test_the_analysis_knows_the_notorious_ones() -> None:
    slow = [r"(a+)+b", r"a*a*b", r"(?:a|ab?)*(?:b|c)*c", r"(\w|\d\d)+$", r"(?:x+x+)+y"]
    slow_to_find = [
        r"eyJ[\w-]+\.[\w-]+\.[\w-]+",
        r"\s+$",
        r"[^>]*=x",
        r"<form[^>]* action=",
        r"(?:\d ?)+x",
        r"a+(?=b)",
    ]
    linear = [r"(/[A-Za-z0-9_-]+)+/?", r'"(?:[ !#-\[\]-~]|\\["\\])*"', r"(\d{1,6}[dhms])+", r"\s*/\s*"]
    linear_to_find = [
        r"\s+",
        r"\n{3,}",
        r"eyJ[\w-]{8,}(?:\.[\w-]*)*",
        r"\b(?:\d[ -]?){12,18}\d\b",
        r"<[^<>]*>",
    ]
    assert [p for p in slow if superlinear(p, searched=False) is None] == []
    assert [p for p in slow_to_find if superlinear(p, searched=True) is None] == []
    assert [p for p in linear if superlinear(p, searched=False)] == []
    assert [p for p in linear_to_find if superlinear(p, searched=True)] == []


def test_every_pattern_of_the_project_is_found() -> None:
    found = {pattern.where.partition(":")[0] for pattern in PATTERNS}
    assert {"shared_lib/redaction.py", "shared_lib/web/idempotency.py", "infra/standins/gateway.py"} <= found
    assert {"infra/nginx/nginx.conf", "infra/nginx/doors.conf"} <= found
    assert len(PATTERNS) > 30


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_every_pattern_is_linear_whatever_it_is_asked(pattern: Pattern) -> None:
    word = superlinear(pattern.text, pattern.flags, searched=pattern.searched)
    assert word is None, f"{pattern}: {word!r} repeated may take more than linear time"


def test_every_pattern_meets_its_worst_text_and_comes_back() -> None:
    """The static check is a model; here the real matcher runs."""
    cases = [(p.text, p.flags, p.searched, attacks(p, ATTACK_CHARS)) for p in PATTERNS]
    subprocess.run(
        [sys.executable, "-c", WORST], input=json.dumps(cases), text=True, check=True, timeout=CHILD_LIMIT_S, cwd=ROOT
    )  # fmt: skip
