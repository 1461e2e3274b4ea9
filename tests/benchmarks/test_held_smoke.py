"""The benchmark of reading under a held snapshot runs, with tiny sizes and no measurement."""

from __future__ import annotations

import pytest

from benchmarks.held import STEPS, Options, measure, table

pytestmark = pytest.mark.slow


async def test_both_ways_read_the_same_events_at_each_step(database_url: str) -> None:
    points = await measure(database_url, Options(events=200, batch=10, reads=2), lambda _: None)
    assert [point.delivered for point in points] == [20 * step for step in range(STEPS + 1)]
    assert len(table(points).splitlines()) >= STEPS + 3
