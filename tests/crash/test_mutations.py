"""The list of protections stays true: each text to remove is in the code, and each test that must notice exists."""

from __future__ import annotations

import re

import pytest

from tests.crash.mutations import MUTATIONS, named_groups
from tests.kit.mutations import ROOT, Mutation

PAGE = (ROOT / "docs" / "crash-windows.md").read_text()
FIRST_COLUMN = re.compile(r"^\| (\w+(?:, \w+)*) \|", re.MULTILINE)


def label(mutation: Mutation) -> str:
    return f"{mutation.window}: {mutation.removed}"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=label)
def test_a_mutation_fits_the_code(mutation: Mutation) -> None:
    for edit in mutation.edits:
        assert edit.old in (ROOT / edit.file).read_text(), f"{edit.file} has no {edit.old!r}"
        assert edit.old != edit.new
    file, _, name = mutation.test.partition("::")
    source = (ROOT / file).read_text()
    assert not name or f"def {name.partition('[')[0]}(" in source


def test_the_page_names_every_group_of_mutations() -> None:
    written = {name for names in FIRST_COLUMN.findall(PAGE) for name in names.split(", ")}
    assert {mutation.window for mutation in MUTATIONS} <= written


def test_help_is_given_and_a_group_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert named_groups(["W4", "W13"]) == ["W4", "W13"]
    for arguments, status in ((["--help"], 0), (["W4", "W0"], 2)):
        with pytest.raises(SystemExit) as ended:
            named_groups(arguments)
        assert ended.value.code == status
    printed = capsys.readouterr()
    assert "GROUP" in printed.out
    assert "Groups: " in printed.out
    assert "no mutation is of W0" in printed.err
