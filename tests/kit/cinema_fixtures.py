"""One sandbox provider per session, a fresh cinema for each test that asks for one. A plugin of tests/conftest.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from infra.servers.moto import EmbeddedMoto
from infra.servers.ports import free_port
from infra.servers.postgres import EmbeddedPostgres
from tests.kit.waiting import PATIENCE_S

if TYPE_CHECKING:  # tests that need no cinema do not pay for its imports
    from infra.sandbox.launch import SandboxHandle
    from tests.kit.cinema import Cinema

OpenCinema = Callable[..., AbstractAsyncContextManager["Cinema"]]


@pytest.fixture(scope="session")
def gateway_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def webhook_secret() -> str:
    """What the session's sandbox signs its webhooks with."""
    from infra.sandbox.launch import new_webhook_secret  # noqa: PLC0415

    return new_webhook_secret()


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="session")
def sandbox_process(
    tmp_path_factory: pytest.TempPathFactory, gateway_port: int, webhook_secret: str
) -> Iterator[SandboxHandle]:
    from infra.sandbox.launch import running_sandbox  # noqa: PLC0415

    data = tmp_path_factory.mktemp("sandbox")
    hook = f"http://127.0.0.1:{gateway_port}/v1/webhooks/sandbox"
    with running_sandbox(data, hook, webhook_secret, speed=50.0, processing_s=0.2) as handle:
        yield handle


@pytest.fixture
def sandbox(sandbox_process: SandboxHandle) -> SandboxHandle:
    httpx.post(sandbox_process.url + "/control/reset", timeout=PATIENCE_S).raise_for_status()
    return sandbox_process


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, moto: EmbeddedMoto) -> EmbeddedMoto:
    """SES on loopback, with the throw-away credentials boto3 insists on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    moto.verify_domain("cinema.example")
    return moto


@pytest.fixture
def open_cinema(
    *,
    database_url: str,
    redis_url_or_none: str | None,
    sandbox: SandboxHandle,
    gateway_port: int,
    keys_dir: Path,
    aws: EmbeddedMoto,
    webhook_secret: str,
) -> OpenCinema:
    """A maker of cinemas that differ from `cinema`: `async with open_cinema(redis_url=None) as cinema`.

    Keywords are parameters of `running_cinema` and settings. One at a time: each listens where the sandbox sends its webhooks.
    """
    from tests.kit.cinema import running_cinema  # noqa: PLC0415

    return partial(
        running_cinema,
        database_url=database_url,
        redis_url=redis_url_or_none,
        sandbox=sandbox,
        secret=webhook_secret,
        port=gateway_port,
        keys_dir=keys_dir,
        ses_endpoint_url=aws.url,
    )


@pytest.fixture
async def cinema(open_cinema: OpenCinema) -> AsyncIterator[Cinema]:
    """A whole Boxoffice: every door, the relay, PostgreSQL, the sandbox provider, SES, and Redis where this machine has one."""
    async with open_cinema() as opened:
        yield opened


@pytest.fixture
async def cinema_on_own_postgres(
    open_cinema: OpenCinema, own_postgres: EmbeddedPostgres
) -> AsyncIterator[Cinema]:
    """A cinema without Redis whose PostgreSQL is `own_postgres`, to stop, kill and start at will."""
    from infra.servers.access import prepare  # noqa: PLC0415

    prepare(own_postgres.start().url())
    async with open_cinema(database_url=own_postgres.url(), redis_url=None) as opened:
        yield opened
