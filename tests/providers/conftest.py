"""One sandbox process and one webhook endpoint per session; a client per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.sandbox.engine.core import NATIVE
from infra.sandbox.launch import SandboxHandle, new_webhook_secret, running_sandbox
from tests.providers.adapters import ADAPTERS, SIGNING
from tests.providers.inbox import Inbox, running_inbox
from tests.providers.simulator import ProviderSimulator, SandboxSimulator
from tests.providers.stripe_simulator import StripeSimulator

OLD_SECRET, SECRET = new_webhook_secret(), new_webhook_secret()


@pytest.fixture(scope="session")
def inbox() -> Iterator[Inbox]:
    with running_inbox() as inbox:
        yield inbox


@pytest.fixture(scope="session")
def sandbox(inbox: Inbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    """One bank with a face for each provider, all of which send their webhooks to one inbox."""
    data: Path = tmp_path_factory.mktemp("sandbox")
    others = {it.face: inbox.at(it.name) for it in ADAPTERS.values() if it.face != NATIVE}
    with running_sandbox(
        data,
        inbox.url,
        SECRET,
        api_key="sk_sandbox_under_test",
        speed=100.0,
        face_webhooks=others,
        face_secrets=dict.fromkeys(others, SECRET),
    ) as handle:
        yield handle


@pytest.fixture
async def sandbox_simulator(sandbox: SandboxHandle, inbox: Inbox) -> AsyncIterator[SandboxSimulator]:
    """The client knows the secret in use and the one it was rolled from."""
    simulator = SandboxSimulator(sandbox, inbox, (OLD_SECRET, SECRET))
    yield simulator
    await simulator.aclose()


@pytest.fixture
async def stripe(sandbox: SandboxHandle, inbox: Inbox) -> AsyncIterator[StripeSimulator]:
    simulator = StripeSimulator(sandbox, inbox, (OLD_SECRET, SECRET))
    yield simulator
    await simulator.aclose()


@pytest.fixture(params=ADAPTERS)
async def provider_under_test(
    request: pytest.FixtureRequest, sandbox: SandboxHandle, inbox: Inbox
) -> AsyncIterator[ProviderSimulator]:
    """Every provider that keeps the contract (adapters.py)."""
    simulator = ADAPTERS[request.param](sandbox, inbox, (OLD_SECRET, SECRET))
    yield simulator
    await simulator.aclose()


@pytest.fixture(params=SIGNING)
async def signing_provider(
    request: pytest.FixtureRequest, sandbox: SandboxHandle, inbox: Inbox
) -> AsyncIterator[ProviderSimulator]:
    """Every provider that signs its webhooks."""
    simulator = ADAPTERS[request.param](sandbox, inbox, (OLD_SECRET, SECRET))
    yield simulator
    await simulator.aclose()
