"""State machines as tables: the same table decides, draws the diagram in docs/ and is checked against the database."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from shared_lib.domain.values import Value

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class NoSuchEdge(Exception):
    """The table has no edge from this status by this event: a refusal at a door, an alarm behind a provider."""


class StateMachine(Value, Generic[S, E]):
    """`edges[(status, event)]` is the next status. An edge back to the same status is old news."""

    name: str
    initial: S
    edges: Mapping[tuple[S, E], S]

    def after(self, status: S, event: E) -> S:
        """The status that follows. Raises NoSuchEdge when the table does not know the pair."""
        try:
            return self.edges[status, event]
        except KeyError:
            raise NoSuchEdge(f"{self.name}: {event} while {status}") from None

    def allows(self, status: S, event: E) -> bool:
        return (status, event) in self.edges

    def is_old_news(self, status: S, event: E) -> bool:
        return self.edges.get((status, event)) is status

    def is_final(self, status: S) -> bool:
        """No edge leads to another status. (Late money keeps a canceled payment from being final.)"""
        return all(target is status for (source, _), target in self.edges.items() if source is status)
