"""A cinema whose subscribers are charged through the recording provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.concurrency.recording import FILE, NAME, Record
from tests.kit.cinema import Cinema
from tests.kit.cinema_fixtures import OpenCinema


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    monkeypatch.setenv(FILE, str(tmp_path / "charges.sqlite"))
    opened = Record(tmp_path / "charges.sqlite")
    yield opened
    opened.close()


@pytest.fixture
async def crowd(record: Record, open_cinema: OpenCinema) -> AsyncIterator[Cinema]:
    """A cinema whose subscribers are charged through the recording provider."""
    # However busy the machine is, the provider has time to answer.
    async with open_cinema(providers=("sandbox", NAME), provider_answer_s=20.0) as opened:
        yield opened
