"""Who is asking, on every call that needs to know. tests/auth holds the whole corpus; here it meets the doors."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

from infra.standins.auth_service import SigningKeys, issue_token
from shared_lib.contract.operations import OPERATIONS
from shared_lib.contract.routes import Route
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import AUDIENCE, AUTH_ISSUER, Cinema

GUARDED = [(one.route, dict(one.example) or None) for one in OPERATIONS if one.route.scopes]


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def corpus(cinema: Cinema, tmp_path: Path) -> dict[str, tuple[str | None, str]]:
    """Authorization header and the code it is refused with."""
    key = cinema.keys.by_algorithm["RS256"]
    pem = key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    good = cinema.token()
    header, payload, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    strangers = SigningKeys.open(tmp_path / "strangers")
    forged = jwt.encode(
        claims, strangers.by_algorithm["EdDSA"].private, algorithm="EdDSA",
        headers={"kid": cinema.keys.by_algorithm["EdDSA"].kid, "typ": "at+jwt"},
    )  # fmt: skip
    # PyJWT refuses to sign with a public key; an attacker's tool does not.
    confused_head = part({"alg": "HS256", "typ": "at+jwt", "kid": key.kid})
    confused = f"{confused_head}.{payload}"
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    confused += "." + base64.urlsafe_b64encode(mac.sign(confused.encode(), pem)).decode().rstrip("=")
    none = part({"alg": "none", "typ": "at+jwt", "kid": key.kid})
    issue: dict[str, Any] = {"sub": "ann", "issuer": AUTH_ISSUER, "audience": AUDIENCE}
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    return {
        "nothing": (None, "token_missing"),
        "empty": ("", "token_missing"),
        "basic": ("Basic YW5uOmFubg==", "token_malformed"),
        "no JWT": ("Bearer abc", "token_malformed"),
        "two tokens": (f"Bearer {good} {good}", "token_malformed"),
        "endless": ("Bearer " + "a" * 9000 + ".b.c", "token_malformed"),
        "expired": (f"Bearer {issue_token(cinema.keys, **issue, issued_at=long_ago)}", "token_expired"),
        "forged": (f"Bearer {forged}", "token_invalid"),
        "tampered": (f"Bearer {header}.{part({**claims, 'sub': 'bob'})}.{signature}", "token_invalid"),
        "alg none": (f"Bearer {none}.{payload}.", "token_invalid"),
        "alg none, signed": (f"Bearer {none}.{payload}.{signature}", "token_invalid"),
        "HS256 with the public key": (f"Bearer {confused}", "token_invalid"),
        "other audience": (
            f"Bearer {issue_token(cinema.keys, **{**issue, 'audience': 'player'})}",
            "token_invalid",
        ),
        "other issuer": (
            f"Bearer {issue_token(cinema.keys, **{**issue, 'issuer': 'http://evil.test'})}",
            "token_invalid",
        ),
        "unknown key": (f"Bearer {issue_token(strangers, **issue)}", "token_invalid"),
        "scope missing": (f"Bearer {cinema.token('ann', 'profile:read')}", "scope_missing"),
    }


async def test_no_call_lets_a_stranger_in(cinema: Cinema, tmp_path: Path) -> None:
    with nothing_changes(cinema):
        for what, (header, code) in corpus(cinema, tmp_path).items():
            headers = {} if header is None else {"authorization": header}
            for route, body in GUARDED:
                answer = await cinema.call(route.method, path_of(route), body, customer=None, headers=headers)
                assert answer.status_code in (401, 403), (
                    f"{what} may {route.method} {route.path}: {answer.text}"
                )
                assert_problem(answer, code)


async def test_without_the_keys_of_the_auth_service_nobody_is_let_in_and_trying_again_may_help(
    unreachable_auth: Cinema,
) -> None:
    for route, body in GUARDED:
        answer = await unreachable_auth.call(route.method, path_of(route), body)
        assert_problem(answer, "auth_unavailable")


async def test_an_operator_is_no_customer(cinema: Cinema) -> None:
    for path in ("/v1/orders", "/v1/subscriptions", "/v1/entitlements", "/v1/payment-methods"):
        answer = await cinema.call("GET", path, customer="olga", scopes=("billing:operator",))
        assert_problem(answer, "scope_missing")


def path_of(route: Route) -> str:
    return route.path.replace(f"{{{route.id_name}}}", "x_1")
