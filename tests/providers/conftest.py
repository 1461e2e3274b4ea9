"""One sandbox process and one webhook endpoint per session; a client per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.sandbox.launch import SandboxHandle, new_webhook_secret, running_sandbox
from tests.providers.inbox import Inbox, running_inbox
from tests.providers.simulator import ProviderSimulator, SandboxSimulator

OLD_SECRET, SECRET = new_webhook_secret(), new_webhook_secret()


@pytest.fixture(scope="session")
def inbox() -> Iterator[Inbox]:
    with running_inbox() as inbox:
        yield inbox


@pytest.fixture(scope="session")
def sandbox(inbox: Inbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    data: Path = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(data, inbox.url, SECRET, api_key="sk_sandbox_under_test", speed=100.0) as handle:
        yield handle


@pytest.fixture
async def sandbox_simulator(sandbox: SandboxHandle, inbox: Inbox) -> AsyncIterator[SandboxSimulator]:
    """The client knows the secret in use and the one it was rolled from."""
    simulator = SandboxSimulator(sandbox, inbox, (OLD_SECRET, SECRET))
    yield simulator
    await simulator.aclose()


@pytest.fixture(params=["sandbox"])
def simulator(request: pytest.FixtureRequest) -> ProviderSimulator:
    """Every provider that keeps the contract: a new one is one more param and one more `<name>_simulator`."""
    simulator: ProviderSimulator = request.getfixturevalue(f"{request.param}_simulator")
    return simulator
