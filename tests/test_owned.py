"""A task that serves others does not die unnoticed: its owner hears of it, and so does the log."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
import structlog

from shared_lib.domain.errors import Transient
from shared_lib.owned import beside, owned, together
from tests.kit.tasks import Planted

ROOT = Path(__file__).parents[1]
STARTS = {"create_task", "ensure_future"}


def unowned(source: str) -> list[int]:
    """Lines that start a task outside of a TaskGroup: its exception would reach its owner through the garbage collector."""
    tree = ast.parse(source)
    groups = {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name) and "TaskGroup" in ast.unparse(item.context_expr)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) in STARTS
        and not (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in groups
        )
    ]


def test_every_task_of_doors_and_workers_has_an_owner() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for room in ("shared_lib", "functions")
        for path in (ROOT / room).rglob("*.py")
        if (lines := unowned(path.read_text()))
    }
    assert found.keys() == {"shared_lib/owned.py"}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("asyncio.create_task(work())", [1]),
        ("x = loop.create_task", [1]),
        ("ensure_future(work())", [1]),
        ("async def f():\n async with asyncio.TaskGroup() as group:\n  group.create_task(work())", []),
    ],
)
def test_a_task_without_an_owner_is_found(source: str, lines: list[int]) -> None:
    assert unowned(source) == lines


@pytest.mark.parametrize(
    ("dies_of", "heard", "level"),
    [
        (ValueError("a bug"), ValueError, "error"),
        (Planted(), Transient, "error"),
        (asyncio.CancelledError(), Transient, "info"),
    ],
)
async def test_the_owner_hears_what_its_callers_may_be_given(
    dies_of: BaseException, heard: type[Exception], level: str
) -> None:
    async def work() -> None:
        raise dies_of

    said: list[Exception] = []
    with structlog.testing.capture_logs() as lines:
        task = owned(work(), name="mine", died=said.append)
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [type(error) for error in said] == [heard]
    assert [(line["event"], line["task"], line["log_level"]) for line in lines] == [
        ("task_died", "mine", level)
    ]


async def test_a_task_that_is_stopped_before_its_first_step_is_heard_of_too_and_one_that_ends_is_not() -> (
    None
):
    async def work() -> None: ...

    said: list[Exception] = []
    stopped = owned(work(), name="stopped", died=said.append)
    stopped.cancel()
    await asyncio.wait([stopped, owned(work(), name="ends", died=said.append)])
    await asyncio.sleep(0)
    assert [type(error) for error in said] == [Transient]


async def test_what_runs_beside_a_block_ends_with_it() -> None:
    async def work(result: int | None) -> int:
        return result if result is not None else await asyncio.get_running_loop().create_future()

    async with beside(work(1), work(None)) as tasks:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.cancelled() for task in tasks] == [False, True]
    assert tasks[0].result() == 1


async def test_work_together_ends_also_when_one_of_it_fails() -> None:
    """A chunk of renewals that fails must not take the answers of the charges beside it."""
    gate, ended = asyncio.Event(), []

    async def fails() -> str:
        raise ValueError("first")

    async def goes_on() -> str:
        await gate.wait()
        ended.append("second")
        return "second"

    async def both() -> None:
        async with together() as tasks:
            tasks.start(fails())
            tasks.start(goes_on())
            await tasks.until_below(2)
            gate.set()
            tasks.results()

    with pytest.raises(ValueError, match="first"):
        await both()
    assert ended == ["second"]
