"""The benchmark of the relay runs, with tiny sizes and no measurement."""

from __future__ import annotations

import pytest

from benchmarks import relay
from benchmarks.figures import table
from benchmarks.stage import open_stage

pytestmark = [pytest.mark.slow, pytest.mark.kafka]


def test_every_way_to_kafka_tells_each_event_once(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXOFFICE_KAFKA", kafka)
    options = relay.Options(
        rounds=1,
        events=400,
        one_row_events=40,
        offered_s=0.5,
        behind_s=0.2,
        only=("ours", "ours twice", "a", "b1", "c"),
    )
    with open_stage() as stage:
        report = relay.measure(stage, options, lambda _: None)
    assert {one.name: one.legs[0].count for one in report.contenders} == {
        "ours": 400,
        "ours twice": 400,
        "a": 40,
        "b1": 400,
        "c": 400,
    }
    assert "Share of the limit" in table(report)
