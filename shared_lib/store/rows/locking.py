"""Locks that are on their way: the statements of several levels travel together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared_lib.store.transaction import Question, Row

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Locking(Generic[Value]):
    """Rows that are being locked; `question` None: there are none to lock."""

    question: Question | None
    of: Callable[[Row], Value]

    async def values(self) -> dict[str, Value]:
        """The locked values by id."""
        if self.question is None:
            return {}
        of = self.of
        return {row[0]: of(row) for row in await self.question.rows()}
