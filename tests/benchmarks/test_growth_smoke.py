"""The benchmark of growth runs, with tiny sizes and no measurement."""

from __future__ import annotations

import pytest

from benchmarks.growth import READ, measure, table

pytestmark = pytest.mark.slow


async def test_each_read_is_measured_at_both_sizes(database_url: str) -> None:
    points = await measure(database_url, 100, lambda _: None, reads=2)
    assert [point.rows for point in points] == [10, 100]
    assert all(point.found.keys() == {read.name for read in READ} for point in points)
    assert len(table(points).splitlines()) == len(READ) + 2
