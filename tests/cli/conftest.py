"""The settings of an operator's shell, and the command line on a cinema."""

from __future__ import annotations

import pytest

from infra.servers.access import role_url
from shared_lib.processes import Role
from tests.kit.cinema import AUDIENCE, AUTH_ISSUER, EVENT_SECRET, Cinema
from tests.kit.command import Capture, Run


@pytest.fixture
def environment(
    cinema: Cinema, redis_url_or_none: str | None, webhook_secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an operator's shell would hold."""
    routes = cinema.rt.settings.event_routes
    for name, value in {
        "DATABASE_URL": role_url(cinema.database_url, Role.OPERATOR),
        "REDIS_URL": redis_url_or_none or "",
        "AUTH_JWKS_URL": f"{cinema.url}/.well-known/jwks.json",
        "AUTH_ISSUER": AUTH_ISSUER,
        "AUTH_AUDIENCE": AUDIENCE,
        "SANDBOX_URL": cinema.sandbox.url,
        "SANDBOX_API_KEY": cinema.sandbox.api_key,
        "SANDBOX_WEBHOOK_SECRETS": webhook_secret,
        "EVENT_SECRETS": EVENT_SECRET,
        "EVENT_ROUTES": "{" + ",".join(f'"{kind}":"{url}"' for kind, url in routes.items()) + "}",
    }.items():
        monkeypatch.setenv(f"BOXOFFICE_{name}", value)
    from shared_lib.settings import settings  # noqa: PLC0415

    settings.cache_clear()


@pytest.fixture
def run(environment: None, capsys: Capture) -> Run:
    return Run(capsys)
