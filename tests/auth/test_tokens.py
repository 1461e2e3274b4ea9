"""Which tokens are believed, and with which code each other one is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.standins.auth_service import AUDIENCE, ISSUER, Algorithm, SigningKeys, issue_token
from shared_lib.domain.errors import Code, Refusal
from shared_lib.web.auth import CUSTOMER, OPERATOR, Principal, TokenVerifier
from tests.kit.key_service import Clock, KeyService
from tests.kit.serving import serving


def code(verdict: Principal | Refusal) -> Code | None:
    return verdict.code if isinstance(verdict, Refusal) else None


def signed(keys: SigningKeys, clock: Clock, *, headers: Any = None, **claims: Any) -> str:
    """A token like the service's, with claims and headers to differ by; None removes one."""
    key = keys.by_algorithm["EdDSA"]
    now = int(clock().timestamp())
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "cus_1", "iat": now, "exp": now + 600} | claims
    head = {"kid": key.kid, "typ": "at+jwt"} | (headers or {})
    return by_hand(
        {"alg": "EdDSA"} | {name: value for name, value in head.items() if value is not None},
        {name: value for name, value in body.items() if value is not None},
        keys,
    )


def by_hand(header: dict[str, Any], claims: object, keys: SigningKeys) -> str:
    """Assembled without a library, which would refuse to make some of these."""
    parts = b".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
    private = keys.by_algorithm["EdDSA"].private
    assert not isinstance(private, rsa.RSAPrivateKey)
    return (parts + b"." + _b64(private.sign(parts))).decode()


def _b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@pytest.mark.parametrize("alg", ["RS256", "EdDSA"])
async def test_a_token_of_either_algorithm_becomes_a_principal(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, alg: Algorithm
) -> None:
    token = issue_token(
        keys,
        sub="cus_1",
        scopes=[CUSTOMER, OPERATOR],
        email="anna@example.com",
        locale="ru-RU",
        alg=alg,
        issued_at=clock(),
    )
    principal = await verifier.verify(f"Bearer {token}")
    assert principal == Principal(
        customer_id="cus_1",
        scopes=frozenset({CUSTOMER, OPERATOR}),
        email="anna@example.com",
        locale="ru-RU",
    )
    assert principal.is_operator


async def test_scopes_come_from_scope_and_from_scp(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    principal = await verifier.verify(f"Bearer {signed(keys, clock, scope='a b', scp=['c', 7])}")
    assert isinstance(principal, Principal)
    assert principal.scopes == {"a", "b", "c"}
    assert not principal.is_operator


async def test_a_missing_scope_is_a_refusal_with_its_own_code() -> None:
    principal = Principal(customer_id="cus_1", scopes=frozenset({CUSTOMER}))
    refusal = principal.lacks(OPERATOR)
    assert principal.lacks(CUSTOMER) is None
    assert refusal is not None
    assert refusal.code is Code.SCOPE_MISSING


async def test_an_address_that_is_not_proven_is_not_used(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    token = signed(keys, clock, email="anna@example.com", email_verified=False)
    principal = await verifier.verify(f"Bearer {token}")
    assert isinstance(principal, Principal)
    assert principal.email is None


@pytest.mark.parametrize("header", [None, "", "   "])
async def test_no_token_is_token_missing(verifier: TokenVerifier, header: str | None) -> None:
    assert code(await verifier.verify(header)) is Code.TOKEN_MISSING


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer not-a-jwt",
        "Bearer a.b",
        "Bearer a.b.c.d",
        "Bearer a.b.c",
        "Bearer 🎟.b.c",
        "Basic YTpi",
        "Bearer eyJhbGciOiJFZERTQSJ9.e30.c2ln extra",
        "Bearer W10.e30.c2ln",  # a header that is a list
        "Bearer WyJhbGciXQ.e30.c2ln",  # ["alg"]
        "Bearer ImFsZyI.e30.c2ln",  # "alg"
        "Bearer MQ.e30.c2ln",  # 1
        "Bearer eyJhbGciOiJFZERTQSIsImI2NCI6ZmFsc2V9.e30.c2ln",  # {"alg":"EdDSA","b64":false}
        "Bearer " + "a" * 9000 + ".b.c",
        "Bearer " + _b64(b'{"alg":' + b"[" * 5000 + b"]" * 5000 + b"}").decode()[:8000] + ".b.c",
    ],
)
async def test_what_is_not_a_bearer_jwt_is_token_malformed(
    verifier: TokenVerifier, key_service: KeyService, header: str
) -> None:
    assert code(await verifier.verify(header)) is Code.TOKEN_MALFORMED
    assert key_service.fetches == 0


async def test_expiry_counts_to_the_second_after_the_leeway(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    token = f"Bearer {issue_token(keys, sub='cus_1', ttl_s=600, issued_at=clock())}"
    clock.advance(seconds=629)
    assert code(await verifier.verify(token)) is None
    clock.advance(seconds=1)
    assert code(await verifier.verify(token)) is Code.TOKEN_EXPIRED


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_is_refused_beyond_the_leeway(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, claim: str
) -> None:
    now = int(clock().timestamp())
    for ahead_s, expected in ((30, None), (31, Code.TOKEN_INVALID)):
        token = signed(keys, clock, **{claim: now + ahead_s})
        assert code(await verifier.verify(f"Bearer {token}")) is expected


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub"])
async def test_every_registered_claim_is_required(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, claim: str
) -> None:
    token = signed(keys, clock, **{claim: None})
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": [ISSUER]},
        {"aud": "another-service"},
        {"aud": ["a", "b"]},
        {"aud": {}},
        {"sub": ""},
        {"sub": 7},
        {"sub": "cus\u0000"},
        {"sub": "c" * 256},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": 1e300},
        {"iat": []},
        {"nbf": "now"},
    ],
    ids=str,
)
async def test_claims_with_wrong_values_are_refused(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, claims: dict[str, object]
) -> None:
    assert code(await verifier.verify(f"Bearer {signed(keys, clock, **claims)}")) is Code.TOKEN_INVALID


async def test_the_answer_names_the_claims_that_are_wrong_and_nothing_they_say(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    verdict = await verifier.verify(
        f"Bearer {signed(keys, clock, exp='tomorrow', sub=None, email='a@b.example')}"
    )
    assert isinstance(verdict, Refusal)
    assert verdict.detail == "Missing or malformed claims: exp, sub."


async def test_one_audience_among_several_is_enough(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    token = signed(keys, clock, aud=["other", AUDIENCE])
    assert code(await verifier.verify(f"Bearer {token}")) is None


async def test_a_claim_set_that_is_not_an_object_is_refused(
    verifier: TokenVerifier, keys: SigningKeys
) -> None:
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": keys.by_algorithm["EdDSA"].kid}
    assert code(await verifier.verify(f"Bearer {by_hand(header, ['sub'], keys)}")) is Code.TOKEN_INVALID


@pytest.mark.parametrize(
    "typ",
    ["JWT", "dpop+jwt", "logout+jwt", "secevent+jwt", "id+jwt", "application/jwt", "at+jwt ", "", None, 7],
)
async def test_another_type_of_token_is_refused(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, typ: object
) -> None:
    token = signed(keys, clock, headers={"typ": typ})
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


async def test_a_critical_extension_is_refused(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    token = signed(keys, clock, headers={"crit": ["b64"], "b64": True})
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


async def test_a_changed_claim_breaks_the_signature(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    header, claims, signature = signed(keys, clock).split(".")
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = _b64(json.dumps(body | {"sub": "cus_2"}).encode()).decode()
    for token in (f"{header}.{forged}.{signature}", f"{header}.{claims}.", f"{header}.{claims}.AAAA"):
        assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


@pytest.mark.parametrize("alg", ["RS256", "EdDSA"])
async def test_another_key_under_our_kid_is_refused(
    verifier: TokenVerifier, keys: SigningKeys, other_keys: SigningKeys, clock: Clock, alg: Algorithm
) -> None:
    ours, theirs = keys.by_algorithm[alg], other_keys.by_algorithm[alg]
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "cus_1", "iat": clock(), "exp": clock().timestamp() + 60}
    token = jwt.encode(claims, theirs.private, algorithm=alg, headers={"kid": ours.kid})
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
async def test_unsigned_tokens_are_refused(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, alg: str, signature: str
) -> None:
    token = signed(keys, clock, headers={"alg": alg}).rpartition(".")[0] + f".{signature}"
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


@pytest.mark.parametrize("digest", ["256", "384", "512"])
@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
async def test_the_public_key_as_an_hmac_secret_opens_nothing(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, digest: str, encoding: serialization.Encoding
) -> None:
    key = keys.by_algorithm["RS256"]
    secret = key.private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = {"alg": f"HS{digest}", "kid": key.kid}
    parts = signed(keys, clock, headers=head).rpartition(".")[0]
    mac = hmac.new(secret, parts.encode(), getattr(hashlib, f"sha{digest}")).digest()
    token = f"{parts}.{_b64(mac).decode()}"
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


@pytest.mark.parametrize("published", [{"alg": "Ed25519"}, {"alg": None}], ids=str)
async def test_an_ed25519_key_may_go_by_the_name_that_rfc_9864_gives_it(
    verifier: TokenVerifier,
    keys: SigningKeys,
    key_service: KeyService,
    clock: Clock,
    published: dict[str, str | None],
) -> None:
    jwk = keys.by_algorithm["EdDSA"].public_jwk() | published
    key_service.body = json.dumps({"keys": [{k: v for k, v in jwk.items() if v}]}).encode()
    token = signed(keys, clock, headers={"alg": "Ed25519"})
    assert isinstance(await verifier.verify(f"Bearer {token}"), Principal)


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "Ed448", ["EdDSA"]])
async def test_a_good_signature_under_the_name_of_another_algorithm_is_refused(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, alg: object
) -> None:
    token = signed(keys, clock, headers={"alg": alg})
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


async def test_base64_is_read_in_one_spelling(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    """Ed25519 signs 64 bytes; the last character of their base64 has four bits to spare."""
    token = signed(keys, clock)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert isinstance(await verifier.verify(f"Bearer {token}"), Principal)
    assert code(await verifier.verify(f"Bearer {other}")) is Code.TOKEN_INVALID


@pytest.mark.parametrize("alg", ["RS512", "PS256"])
async def test_another_algorithm_with_the_right_key_is_refused(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, alg: str
) -> None:
    key = keys.by_algorithm["RS256"]
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "cus_1", "iat": clock(), "exp": clock().timestamp() + 60}
    token = jwt.encode(claims, key.private, algorithm=alg, headers={"kid": key.kid})
    assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID


async def test_key_sources_named_by_the_token_are_not_followed(
    verifier: TokenVerifier, other_keys: SigningKeys, key_service: KeyService, clock: Clock
) -> None:
    attacker = KeyService(other_keys)
    theirs = other_keys.by_algorithm["EdDSA"]
    async with serving(attacker) as url:
        their_set = f"{url}/.well-known/jwks.json"
        named = {"jku": their_set, "x5u": their_set, "jwk": theirs.public_jwk()}
        token = signed(other_keys, clock, headers=named)
        assert code(await verifier.verify(f"Bearer {token}")) is Code.TOKEN_INVALID
    assert key_service.fetches == 1  # for the unknown kid, from our own address
    assert attacker.fetches == 0


async def test_tokens_never_reach_the_log(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good, bad = signed(keys, clock), signed(keys, clock, sub="")
    for token in (good, bad, good[:-4] + "AAAA"):
        verdict = await verifier.verify(f"Bearer {token}")
        assert token.split(".")[1] not in repr(verdict)
    assert not any(part in caplog.text for token in (good, bad) for part in token.split("."))


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "n"},
        {"at_hash": "h"},
        {"c_hash": "h"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"token_use": "id"},
        {"token_use": "refresh"},
    ],
)
async def test_an_issuer_of_plain_jwts_may_be_allowed_and_its_other_tokens_stay_refused(
    http: httpx.AsyncClient, key_service: KeyService, keys: SigningKeys, clock: Clock, claims: dict[str, str]
) -> None:
    lenient = TokenVerifier(
        http, jwks_url=key_service.url, issuer=ISSUER, audience=AUDIENCE, now=clock, types=("at+jwt", "jwt")
    )
    for typ in ("JWT", "at+jwt"):
        kept = (
            {"typ": "Bearer", "token_use": "access"}
            if "typ" not in claims and "token_use" not in claims
            else {}
        )
        good = signed(keys, clock, headers={"typ": typ}, **kept)
        assert isinstance(await lenient.verify(f"Bearer {good}"), Principal)
        bad = signed(keys, clock, headers={"typ": typ}, **claims)
        assert code(await lenient.verify(f"Bearer {bad}")) is Code.TOKEN_INVALID


async def test_the_application_is_known_by_client_id_or_azp(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    for claims, client in (
        ({"client_id": "tv", "azp": "x"}, "tv"),
        ({"azp": "web"}, "web"),
        ({"client_id": 7}, None),
    ):
        principal = await verifier.verify(f"Bearer {signed(keys, clock, **claims)}")
        assert isinstance(principal, Principal)
        assert principal.client_id == client
