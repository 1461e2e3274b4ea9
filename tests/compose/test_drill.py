"""The drill begins from calm, and waits for it: an earlier load's mails about auto-renewal leave a minute after it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from infra.drill import rounds
from infra.drill.rounds import Customers, DrillError

RESTLESS: Final[dict[str, Any]] = {"on_the_way": 0, "unrest": {"records": 1}}
CALM: Final[dict[str, Any]] = {"on_the_way": 0, "unrest": {}}
UNKNOWN: Final[dict[str, Any]] = {"on_the_way": 0, "unrest": None}


class Looks(Customers):
    """What is seen, one look after the other; the last one repeats."""

    def __init__(self, *seen: dict[str, Any]) -> None:
        self.left = list(seen)

    def ask(self, word: str) -> dict[str, Any]:
        assert word == "look"
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.mark.parametrize("first", [RESTLESS, UNKNOWN])
def test_calm_is_waited_for(first: dict[str, Any]) -> None:
    looks = Looks(CALM, first, CALM, CALM, RESTLESS)
    rounds._calm_first(looks, "relay may be killed")
    assert looks.left == [RESTLESS]


@pytest.mark.parametrize("seen", [RESTLESS, UNKNOWN])
def test_where_it_never_comes_nothing_is_killed(
    seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "CALM_TIMEOUT_S", 0.1)
    with pytest.raises(DrillError, match="Not calm before relay may be killed"):
        rounds._calm_first(Looks(seen), "relay may be killed")
