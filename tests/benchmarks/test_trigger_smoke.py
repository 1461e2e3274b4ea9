"""The trigger's benchmark runs, with tiny sizes and no measurement."""

from __future__ import annotations

import pytest

from benchmarks import trigger
from benchmarks.figures import table
from benchmarks.stage import open_stage

pytestmark = [pytest.mark.slow, pytest.mark.kafka]


def test_every_way_carries_each_event_to_the_door(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXOFFICE_KAFKA", kafka)
    with open_stage() as stage:
        report = trigger.measure(stage, trigger.Options(rounds=1, events=60), lambda _: None)
    assert {one.name: one.legs[0].count for one in report.contenders} == {
        "ours": 60,
        "a": 18,
        "k": 30,
        "b": 60,
        "ours slow": 30,
        "a slow": 10,
        "k slow": 18,
    }
    assert "| ours: the trigger, one process |" in table(report)
