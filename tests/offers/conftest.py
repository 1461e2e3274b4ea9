"""`cinema` and what it stands on come from tests/cinema_fixtures.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cinema import Cinema
from tests.invariants import assert_invariants


@pytest.fixture(autouse=True)
async def _invariants(cinema: Cinema) -> AsyncIterator[None]:
    """However a flow ends, the books balance and nothing that waits is forgotten."""
    yield
    await assert_invariants(cinema)
    await cinema.assert_balanced()
