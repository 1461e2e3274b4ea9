"""The part of CONTRIBUTING.md about tests: its example runs, and its tables name what there is. Tests share helpers as it says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.conftest import pytest_plugins
from tests.kit.cinema import Cinema

TESTS: Final = Path(__file__).parent
KIT: Final = TESTS / "kit"
PAGE: Final = (TESTS.parent / "CONTRIBUTING.md").read_text()
SECTION: Final = PAGE[PAGE.index("## Write a test") : PAGE.index("## Change the schema")]
PLUGINS: Final = {TESTS.parent / f"{name.replace('.', '/')}.py" for name in pytest_plugins}


def first_column(heading: str) -> set[str]:
    """What the first column of the table under this heading names between backticks."""
    table = re.search(rf"^\| {heading} \|.*\n\| --- .*\n((?:\|.*\n)+)", SECTION, re.MULTILINE)
    assert table, heading
    return {name for row in table[1].splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_fixture(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list)


async def test_the_first_test_of_a_newcomer_passes(cinema: Cinema) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    module: dict[str, Any] = {}
    exec(compile(example, "CONTRIBUTING.md", "exec"), module)  # noqa: S102  # our own page
    (test,) = (value for name, value in module.items() if name.startswith("test_"))
    assert list(inspect.signature(test).parameters) == ["cinema"]
    await test(cinema)


def test_the_fixtures_that_are_listed_are_those_that_tests_ask_for() -> None:
    given = {
        one.name for path in (*PLUGINS, TESTS / "conftest.py") for one in functions(path) if is_fixture(one)
    }
    asked = {
        argument.arg
        for path in TESTS.rglob("*.py")
        if path not in PLUGINS
        for one in functions(path)
        if one.name.startswith("test_") or is_fixture(one)
        for argument in (*one.args.args, *one.args.kwonlyargs)
    }
    assert first_column("Fixture") == given & asked


def test_each_module_of_the_kit_and_each_folder_of_tests_is_listed() -> None:
    modules = {path.stem for path in KIT.glob("*.py") if path not in PLUGINS} - {"__init__"}
    folders = {f"tests/{path.parent.name}" for path in TESTS.glob("*/test_*.py")}
    assert first_column("Module of `tests/kit`") == modules
    assert first_column("Folder") == {*folders, "tests"}


def test_a_folder_of_tests_shares_helpers_through_the_kit_alone() -> None:
    strangers = [
        f"{path.relative_to(TESTS)}: {node.module}"
        for path in TESTS.rglob("*/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests.")
        if node.module.split(".")[1] not in ("kit", path.relative_to(TESTS).parts[0])
        or node.module.split(".")[-1].startswith("test_")
    ]
    assert strangers == [], "move what they share to tests/kit"
