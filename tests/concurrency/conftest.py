"""A cinema whose subscribers are charged through the recording provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.sandbox.launch import SandboxHandle
from infra.servers.moto import EmbeddedMoto
from tests.concurrency.recording import FILE, NAME, Record
from tests.kit.cinema import Cinema
from tests.kit.cinema import cinema as open_cinema


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    monkeypatch.setenv(FILE, str(tmp_path / "charges.sqlite"))
    opened = Record(tmp_path / "charges.sqlite")
    yield opened
    opened.close()


@pytest.fixture
async def crowd(
    *,
    record: Record,
    database_url: str,
    redis_url: str,
    sandbox: SandboxHandle,
    gateway_port: int,
    keys_dir: Path,
    webhook_secret: str,
    aws: EmbeddedMoto,
) -> AsyncIterator[Cinema]:
    """A cinema whose subscribers are charged through the recording provider."""
    async with open_cinema(
        database_url=database_url,
        redis_url=redis_url,
        sandbox=sandbox,
        secret=webhook_secret,
        port=gateway_port,
        keys_dir=keys_dir,
        providers=("sandbox", NAME),
        ses_endpoint_url=aws.url,
        provider_answer_s=20.0,  # however busy the machine is
    ) as opened:
        yield opened
