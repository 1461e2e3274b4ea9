"""Doors in processes of their own, and a PostgreSQL that may be stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from infra.sandbox.launch import SandboxHandle
from infra.servers.access import prepare
from infra.servers.moto import EmbeddedMoto
from infra.servers.ports import free_port
from infra.servers.postgres import EmbeddedPostgres
from tests.kit.cinema import Cinema
from tests.kit.cinema import cinema as open_cinema


@pytest.fixture
def stoppable(server_folders: Callable[[], Path]) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that comes back where it was."""
    with EmbeddedPostgres(server_folders(), port=free_port()) as server:
        yield server


@pytest.fixture
async def mortal(
    *, stoppable: EmbeddedPostgres, sandbox: SandboxHandle, gateway_port: int, keys_dir: Path,
    webhook_secret: str, aws: EmbeddedMoto,
) -> AsyncIterator[Cinema]:  # fmt: skip
    """A cinema whose PostgreSQL may be stopped."""
    prepare(stoppable.url())
    async with open_cinema(
        database_url=stoppable.url(), redis_url=None, sandbox=sandbox, secret=webhook_secret, port=gateway_port,
        keys_dir=keys_dir, ses_endpoint_url=aws.url,
    ) as opened:  # fmt: skip
        yield opened
