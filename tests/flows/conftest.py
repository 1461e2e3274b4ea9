"""`cinema` and what it stands on come from tests/kit/cinema_fixtures.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.kit.cinema import Cinema
from tests.kit.invariants import assert_invariants


@pytest.fixture(autouse=True)
async def _invariants(cinema: Cinema) -> AsyncIterator[None]:
    """However a flow ends, the books balance and nothing that waits is forgotten."""
    yield
    await assert_invariants(cinema)
    await cinema.assert_balanced()
