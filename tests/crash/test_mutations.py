"""The list of protections stays true: each text to remove is in the code, and each test that must notice exists."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.mutations import MUTATIONS, ROOT
from tests.crash.protections import Mutation

PAGE = (ROOT / "docs" / "crash-windows.md").read_text()
GROUP = re.compile(r"^\| (\w+(?:, \w+)*) \| (\d+) \|", re.MULTILINE)


def label(mutation: Mutation) -> str:
    return f"{mutation.window}: {mutation.removed}"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=label)
def test_a_mutation_fits_the_code(mutation: Mutation) -> None:
    for edit in mutation.edits:
        assert edit.old in (ROOT / edit.file).read_text(), f"{edit.file} has no {edit.old!r}"
        assert edit.old != edit.new
    file, _, name = mutation.test.partition("::")
    source = Path(ROOT / file).read_text()
    assert not name or f"def {name.partition('[')[0]}(" in source


def test_the_page_counts_the_mutations_of_each_group() -> None:
    counted = Counter(it.window for it in MUTATIONS if not it.window.startswith("W"))
    written = {group: int(number) for group, number in GROUP.findall(PAGE)}
    assert {window for group in written for window in group.split(", ")} == set(counted)
    for group, number in written.items():
        assert number == sum(counted[window] for window in group.split(", ")), group


def test_the_page_names_every_crash_window_that_has_a_mutation() -> None:
    windows = {it.window for it in MUTATIONS if it.window.startswith("W")}
    assert windows <= set(re.findall(r"^\| (W\d+) \|", PAGE, re.MULTILINE))
