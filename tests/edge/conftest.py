"""Cinemas in unusual circumstances."""

from __future__ import annotations

import httpx
import pytest

from infra.servers.ports import free_port
from tests.kit.cinema import Cinema
from tests.kit.waiting import PATIENCE_S


@pytest.fixture
def unreachable_auth(cinema: Cinema) -> Cinema:
    """A cinema whose Auth service cannot be reached, and was not before either."""
    from shared_lib.web.auth import TokenVerifier  # noqa: PLC0415
    from tests.kit.cinema import AUDIENCE, AUTH_ISSUER  # noqa: PLC0415

    lost = TokenVerifier(
        httpx.AsyncClient(timeout=PATIENCE_S),
        jwks_url=f"http://127.0.0.1:{free_port()}/jwks.json",
        issuer=AUTH_ISSUER,
        audience=AUDIENCE,
        now=cinema.rt.now,
    )
    cinema.rt._kept["verifier"] = lost
    return cinema
