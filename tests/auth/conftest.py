from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.standins.auth_service import AUDIENCE, ISSUER, SigningKeys
from shared_lib.web.auth import TokenVerifier
from tests.kit.key_service import Clock, KeyService
from tests.kit.serving import serving
from tests.kit.waiting import PATIENCE_S


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    return SigningKeys.open(tmp_path_factory.mktemp("auth"))


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    return SigningKeys.open(tmp_path_factory.mktemp("other-auth"))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def key_service(keys: SigningKeys) -> AsyncIterator[KeyService]:
    service = KeyService(keys)
    async with serving(service) as url:
        service.url = f"{url}/.well-known/jwks.json"
        yield service


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
def verifier(http: httpx.AsyncClient, key_service: KeyService, clock: Clock) -> TokenVerifier:
    return TokenVerifier(http, jwks_url=key_service.url, issuer=ISSUER, audience=AUDIENCE, now=clock)
