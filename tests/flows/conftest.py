"""One sandbox provider for all flows, a fresh cinema for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from infra.local.mail import EmbeddedMoto
from infra.local.ports import free_port
from infra.sandbox.launch import SandboxHandle, new_webhook_secret, running_sandbox
from tests.cinema import Cinema
from tests.cinema import cinema as open_cinema

WEBHOOK_SECRET = new_webhook_secret()


@pytest.fixture(scope="session")
def gateway_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory, gateway_port: int) -> Iterator[SandboxHandle]:
    data = tmp_path_factory.mktemp("sandbox")
    hook = f"http://127.0.0.1:{gateway_port}/v1/webhooks/sandbox"
    with running_sandbox(data, hook, WEBHOOK_SECRET, speed=50.0, processing_s=0.2) as handle:
        yield handle


@pytest.fixture
def sandbox(sandbox_process: SandboxHandle) -> SandboxHandle:
    httpx.post(sandbox_process.url + "/control/reset").raise_for_status()
    return sandbox_process


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, moto: EmbeddedMoto) -> EmbeddedMoto:
    """SES on loopback, with the throw-away credentials boto3 insists on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    moto.verify_domain("cinema.example")
    return moto


@pytest.fixture
async def cinema(
    database_url: str,
    redis_url: str,
    sandbox: SandboxHandle,
    gateway_port: int,
    keys_dir: Path,
    aws: EmbeddedMoto,
) -> AsyncIterator[Cinema]:
    async with open_cinema(
        database_url=database_url,
        redis_url=redis_url,
        sandbox=sandbox,
        secret=WEBHOOK_SECRET,
        port=gateway_port,
        keys_dir=keys_dir,
        ses_endpoint_url=aws.url,
    ) as opened:
        yield opened
