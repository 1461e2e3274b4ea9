"""On Knative a sender proves itself with a token of the cluster's issuer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import jwt
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from infra.standins.auth_service import SigningKeys
from shared_lib.settings import Environment
from shared_lib.web.asgi import load_sender_keys
from tests.events.senders import TAKERS, event, post, signer
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import EVENT_SECRET, Cinema
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.runtime_fixtures import own_settings
from tests.kit.serving import serving

ISSUER, AUDIENCE = "https://kubernetes.default.svc", "boxoffice-events"
SENDER = "system:serviceaccount:boxoffice:kafka-source"


class Issuer:
    """A cluster's: its tokens have no `typ`, and a list of audiences."""

    def __init__(self, folder: Path) -> None:
        self.keys = SigningKeys.open(folder)
        self.url = ""
        self.down = False

    async def jwks(self, _: Request) -> JSONResponse:
        return JSONResponse({}, 503) if self.down else JSONResponse(self.keys.jwks())

    def token(self, alg: Literal["RS256", "EdDSA"] = "RS256", **changes: Any) -> str:
        now = datetime.now(UTC).timestamp()
        claims: dict[str, Any] = {
            "iss": ISSUER, "aud": [AUDIENCE], "sub": SENDER, "exp": now + 3600, "iat": now, "nbf": now,
        } | changes  # fmt: skip
        key = self.keys.by_algorithm[alg]
        told = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(told, key.private, algorithm=alg, headers={"kid": key.kid, "typ": None})


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    issuer = Issuer(tmp_path)
    async with serving(Starlette(routes=[Route("/jwks", issuer.jwks)])) as url:
        issuer.url = url + "/jwks"
        yield issuer


def oidc(issuer: Issuer, **more: Any) -> dict[str, Any]:
    return {
        "event_oidc_issuer": ISSUER,
        "event_oidc_audience": AUDIENCE,
        "event_oidc_jwks_url": issuer.url,
        "event_oidc_subjects": SENDER + ",system:serviceaccount:boxoffice:broker",
        "event_secrets": "",
        **more,
    }


async def bearing(cinema: Cinema, door: str, token: str) -> httpx.Response:
    headers, body = event(door)
    return await post(cinema, door, headers | {"authorization": f"Bearer {token}"}, body)


IN_2096: Final = 4_000_000_000.0  # however long the tests before this one take

WRONG: Final[dict[str, dict[str, Any]]] = {
    "another issuer": {"iss": "https://elsewhere.example"},
    "another audience": {"aud": ["boxoffice"]},
    "an audience that is none": {"aud": 7},
    "another service account": {"sub": "system:serviceaccount:default:default"},
    "no subject": {"sub": None},
    "expired": {"exp": 1},
    "never expires": {"exp": None},
    "not yet": {"nbf": IN_2096},
    "issued in the future": {"iat": IN_2096},
    "an instant that is none": {"exp": "tomorrow"},
}


async def test_a_token_of_a_known_sender_is_a_proof_and_any_other_is_none(
    open_cinema: OpenCinema, issuer: Issuer
) -> None:
    async with open_cinema(**oidc(issuer)) as cinema:
        for door in TAKERS:
            assert (await bearing(cinema, door, issuer.token())).status_code == 200, door
        assert (await bearing(cinema, "renew", issuer.token("EdDSA", aud=AUDIENCE))).status_code == 200
        good = issuer.token()
        head, body, signature = good.split(".")
        forged = {name: issuer.token(**changes) for name, changes in WRONG.items()} | {
            "altered": f"{head}.{body}.{'A' * len(signature)}",
            "of no key": jwt.encode({"sub": SENDER}, "x" * 32, algorithm="HS256"),
            "unsigned": jwt.encode({"sub": SENDER}, "", algorithm="none"),
            "no token": "a.b.c",
            "endless": good + "A" * 10_000,
            "a customer's": cinema.token(),
        }
        with nothing_changes(cinema):
            for name, token in forged.items():
                for door in ("renew", "create_order"):
                    answer = await bearing(cinema, door, token)
                    assert answer.status_code == 401, f"{name}: {answer.status_code} {answer.text}"
                    assert_problem(answer, "event_unproven")


async def test_while_the_issuers_keys_cannot_be_fetched_an_event_waits(
    open_cinema: OpenCinema, issuer: Issuer
) -> None:
    issuer.down = True
    async with open_cinema(**oidc(issuer)) as cinema:
        assert_problem(await bearing(cinema, "renew", issuer.token()), "unavailable")


async def test_either_proof_is_enough(open_cinema: OpenCinema, issuer: Issuer) -> None:
    async with open_cinema(**oidc(issuer, event_secrets=EVENT_SECRET)) as cinema:
        headers, body = event("renew")
        signed = signer(cinema).signed(headers, body)
        for token, proof, status in (
            (issuer.token(), headers, 200),
            (issuer.token(exp=1), signed, 200),
            (issuer.token(exp=1), headers, 401),
            (issuer.token(), signed | {"webhook-signature": "v1,AAAA"}, 200),
        ):
            sent = proof | {"authorization": f"Bearer {token}"}
            assert (await post(cinema, "renew", sent, body)).status_code == status


async def test_with_neither_nothing_is_believed(open_cinema: OpenCinema, issuer: Issuer) -> None:
    async with open_cinema(event_secrets="") as cinema:
        headers, body = event("renew")
        for sent in (headers, signer(cinema).signed(headers, body)):
            assert (await post(cinema, "renew", sent, body)).status_code == 401
        assert (await bearing(cinema, "renew", issuer.token())).status_code == 401
        strict = cinema.rt.settings.model_copy(update={"environment": Environment.PRODUCTION})
        cinema.rt.settings = strict
        with pytest.raises(ValueError, match="no sender of events could be verified"):
            await load_sender_keys(cinema.rt)


@pytest.mark.parametrize("left_out", ["issuer", "audience", "jwks_url", "subjects"])
def test_half_of_an_issuer_is_refused_at_the_start(left_out: str) -> None:
    given = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": "http://127.0.0.1:9", "subjects": SENDER}
    del given[left_out]
    with pytest.raises(ValidationError, match="belong together"):
        own_settings("postgresql://none", **{f"event_oidc_{name}": value for name, value in given.items()})
