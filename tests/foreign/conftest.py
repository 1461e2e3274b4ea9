"""Servers on real sockets that do what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.foreign.rude import Rude, rude_server
from tests.foreign.scripted import GUARD_S, Scripted, scripted


@pytest.fixture(scope="module")
def rude() -> Iterator[Rude]:
    with rude_server() as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """Open as long as the test, which may take GUARD_S."""
    async with scripted() as opened, asyncio.timeout(GUARD_S):
        yield opened
