"""How the key set is fetched and kept: rotations, floods, outages, and the memory of verdicts."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from infra.standins.auth_service import AUDIENCE, ISSUER, SigningKeys, issue_token
from shared_lib.domain.errors import Code, Refusal
from shared_lib.web.auth import Principal, TokenVerifier
from tests.kit.key_service import Clock, KeyService
from tests.kit.tasks import stop_tasks
from tests.kit.waiting import PATIENCE_S, until


def bearer(keys: SigningKeys, clock: Clock, sub: str = "cus_1", ttl_s: int = 7200) -> str:
    return f"Bearer {issue_token(keys, sub=sub, ttl_s=ttl_s, issued_at=clock())}"


def code(verdict: Principal | Refusal) -> Code | None:
    return verdict.code if isinstance(verdict, Refusal) else None


async def test_a_hundred_first_requests_share_one_fetch(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock
) -> None:
    key_service.slow_s = 0.05
    tokens = [bearer(keys, clock, f"cus_{n}") for n in range(100)]
    verdicts = await asyncio.gather(*(verifier.verify(token) for token in tokens))
    assert all(isinstance(verdict, Principal) for verdict in verdicts)
    assert key_service.fetches == 1


async def test_a_caller_that_gives_up_does_not_take_the_fetch_with_it(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock
) -> None:
    key_service.slow_s = 0.1
    impatient = asyncio.create_task(verifier.verify(bearer(keys, clock)))
    patient = asyncio.create_task(verifier.verify(bearer(keys, clock)))
    await asyncio.sleep(0.02)
    impatient.cancel()
    assert isinstance(await patient, Principal)
    assert key_service.fetches == 1


async def test_a_fetch_that_is_stopped_answers_its_callers_and_the_next_one_is_made(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock
) -> None:
    key_service.slow_s = 60
    callers = [asyncio.create_task(verifier.verify(bearer(keys, clock, f"cus_{n}"))) for n in range(3)]
    await until(lambda: key_service.fetches == 1)
    assert stop_tasks("jwks-refresh") == 1
    async with asyncio.timeout(PATIENCE_S):
        assert [code(await caller) for caller in callers] == [Code.AUTH_UNAVAILABLE] * 3
        key_service.slow_s = 0
        clock.advance(seconds=11)
        assert isinstance(await verifier.verify(bearer(keys, clock)), Principal)


async def test_unknown_kids_cause_one_refresh_per_interval(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, other_keys: SigningKeys, clock: Clock
) -> None:
    await verifier.verify(bearer(keys, clock))
    clock.advance(seconds=11)
    for n in range(20):
        verdict = await verifier.verify(bearer(other_keys, clock, f"cus_{n}"))
        assert code(verdict) is Code.TOKEN_INVALID
    assert key_service.fetches == 2
    clock.advance(seconds=11)
    await verifier.verify(bearer(other_keys, clock))
    assert key_service.fetches == 3


async def test_a_rotated_key_is_found_by_the_refresh_it_causes(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, other_keys: SigningKeys, clock: Clock
) -> None:
    assert isinstance(await verifier.verify(bearer(keys, clock)), Principal)
    key_service.keys = other_keys
    clock.advance(seconds=11)
    assert isinstance(await verifier.verify(bearer(other_keys, clock)), Principal)
    assert code(await verifier.verify(bearer(keys, clock, "cus_2"))) is Code.TOKEN_INVALID


async def test_a_withdrawn_key_is_forgotten_behind_the_callers_back(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, other_keys: SigningKeys, clock: Clock
) -> None:
    await verifier.verify(bearer(keys, clock))
    key_service.keys = other_keys
    clock.advance(minutes=6)
    assert isinstance(await verifier.verify(bearer(keys, clock, "cus_2")), Principal)  # not kept waiting
    await verifier.warm_up()  # joins the refresh under way
    assert code(await verifier.verify(bearer(keys, clock, "cus_3"))) is Code.TOKEN_INVALID


async def test_an_idle_hour_makes_the_caller_wait_for_fresh_keys(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, other_keys: SigningKeys, clock: Clock
) -> None:
    await verifier.verify(bearer(keys, clock))
    key_service.keys = other_keys
    clock.advance(minutes=61)
    assert code(await verifier.verify(bearer(keys, clock))) is Code.TOKEN_INVALID


async def test_an_outage_leaves_known_keys_in_use(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock
) -> None:
    await verifier.verify(bearer(keys, clock))
    key_service.down = True
    for hours in (2, 5):
        clock.advance(hours=hours)
        assert isinstance(await verifier.verify(bearer(keys, clock)), Principal)
    assert key_service.fetches == 3


async def test_keys_end_a_day_after_the_auth_service_went_away_and_come_back_with_it(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock
) -> None:
    await verifier.verify(bearer(keys, clock))
    key_service.down = True
    clock.advance(hours=24)
    assert isinstance(await verifier.verify(bearer(keys, clock)), Principal)
    clock.advance(seconds=61)
    refusal = await verifier.verify(bearer(keys, clock))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, bool(refusal.retry_after_s)) == (Code.AUTH_UNAVAILABLE, True)
    key_service.down = False
    clock.advance(seconds=11)
    assert isinstance(await verifier.verify(bearer(keys, clock)), Principal)


async def test_never_fetched_means_closed_and_says_when_to_come_back(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock
) -> None:
    key_service.down = True
    for _ in range(5):
        refusal = await verifier.verify(bearer(keys, clock))
        assert isinstance(refusal, Refusal)
        assert refusal.code is Code.AUTH_UNAVAILABLE
        assert refusal.retry_after_s
    assert key_service.fetches == 1  # an outage is not made worse by us
    key_service.down = False
    clock.advance(seconds=11)
    assert isinstance(await verifier.verify(bearer(keys, clock)), Principal)


async def test_nobody_listening_is_an_outage_too(
    http: httpx.AsyncClient, keys: SigningKeys, clock: Clock
) -> None:
    verifier = TokenVerifier(
        http, jwks_url="http://127.0.0.1:1/jwks", issuer=ISSUER, audience=AUDIENCE, now=clock
    )
    assert code(await verifier.verify(bearer(keys, clock))) is Code.AUTH_UNAVAILABLE


def _ed25519(keys: SigningKeys) -> Ed25519PrivateKey:
    private = keys.by_algorithm["EdDSA"].private
    assert isinstance(private, Ed25519PrivateKey)
    return private


def _breakable() -> RSAPrivateKey:
    return generate_private_key(65537, 1024)  # noqa: S505 - the point of it


def _weak_and_foreign(keys: SigningKeys) -> list[dict[str, object]]:
    rsa, ed = keys.by_algorithm["RS256"].public_jwk(), keys.by_algorithm["EdDSA"].public_jwk()
    return [
        {"kty": "oct", "k": "c2VjcmV0", "kid": ed["kid"], "alg": "HS256"},
        ed | {"use": "enc"},
        ed | {"alg": "RS256"},
        ed | OKPAlgorithm.to_jwk(_ed25519(keys), as_dict=True),
        ed | {"x": "!"},
        {name: value for name, value in ed.items() if name != "kid"},
        {"kty": "OKP", "crv": "X25519", "kid": ed["kid"], "x": ed["x"]},
        rsa | {"n": rsa["n"][:100], "kid": ed["kid"]},  # a short modulus
        rsa | {"alg": "PS256"},
        rsa | RSAAlgorithm.to_jwk(_breakable().public_key(), as_dict=True),
    ]


@pytest.mark.parametrize("number", range(10))
async def test_keys_that_are_not_for_us_are_never_used(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock, number: int
) -> None:
    key_service.body = json.dumps({"keys": [_weak_and_foreign(keys)[number]]}).encode()
    assert code(await verifier.verify(bearer(keys, clock))) is Code.AUTH_UNAVAILABLE


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"keys": {}}', b'{"keys": []}', b" " * 300_000])
async def test_garbage_does_not_replace_good_keys(
    verifier: TokenVerifier, key_service: KeyService, keys: SigningKeys, clock: Clock, body: bytes
) -> None:
    await verifier.verify(bearer(keys, clock))
    key_service.body = body
    clock.advance(hours=2)
    assert isinstance(await verifier.verify(bearer(keys, clock)), Principal)
    assert key_service.fetches == 2


async def test_a_verdict_is_remembered_for_a_minute_and_no_longer(
    http: httpx.AsyncClient, key_service: KeyService, keys: SigningKeys, other_keys: SigningKeys, clock: Clock
) -> None:
    verifier = TokenVerifier(http, jwks_url=key_service.url, issuer=ISSUER, audience=AUDIENCE, now=clock)
    token = bearer(keys, clock)
    first = await verifier.verify(token)
    key_service.keys = other_keys
    clock.advance(seconds=59)
    await verifier.verify(bearer(other_keys, clock))  # brings the new key set
    assert await verifier.verify(token) is first
    clock.advance(seconds=1)
    assert code(await verifier.verify(token)) is Code.TOKEN_INVALID


async def test_a_remembered_verdict_never_outlives_its_token(
    verifier: TokenVerifier, keys: SigningKeys, clock: Clock
) -> None:
    token = bearer(keys, clock, ttl_s=5)
    assert isinstance(await verifier.verify(token), Principal)
    clock.advance(seconds=35)
    assert code(await verifier.verify(token)) is Code.TOKEN_EXPIRED


async def test_the_memory_of_verdicts_is_bounded(
    http: httpx.AsyncClient, key_service: KeyService, keys: SigningKeys, clock: Clock
) -> None:
    verifier = TokenVerifier(
        http, jwks_url=key_service.url, issuer=ISSUER, audience=AUDIENCE, now=clock, verdicts_max=2
    )
    tokens = [bearer(keys, clock, f"cus_{n}") for n in range(3)]
    first, second, _ = [await verifier.verify(token) for token in tokens]
    assert await verifier.verify(tokens[1]) is second
    assert await verifier.verify(tokens[0]) is not first  # it was pushed out and verified once more


def test_an_empty_audience_is_refused_at_start(http: httpx.AsyncClient, clock: Clock) -> None:
    with pytest.raises(ValueError, match="audience"):
        TokenVerifier(http, jwks_url="http://127.0.0.1:1/", issuer=ISSUER, audience="", now=clock)


def test_the_stand_in_keeps_its_keys_private_and_across_restarts(data_dir: Path) -> None:
    first, second = SigningKeys.open(data_dir), SigningKeys.open(data_dir)
    assert first.jwks() == second.jwks()
    assert {path.stat().st_mode & 0o777 for path in data_dir.iterdir()} == {0o600}
    assert not any("d" in jwk for jwk in first.jwks()["keys"])


async def test_the_stand_in_runs_as_a_process_and_issues_tokens_over_http(
    http: httpx.AsyncClient, data_dir: Path, clock: Clock, unused_tcp_port: int
) -> None:
    command = ["-m", "infra.standins.auth_service", "--port", str(unused_tcp_port), "--data", str(data_dir)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    try:
        await _until_alive(http, url)
        asked = {"sub": "cus_9", "scopes": ["billing:customer"], "email": "a@example.com", "alg": "RS256"}
        reply = await http.post(f"{url}/token", json=asked)
        verifier = TokenVerifier(
            http, jwks_url=f"{url}/.well-known/jwks.json", issuer=ISSUER, audience=AUDIENCE, now=clock
        )
        principal = await verifier.verify(f"Bearer {reply.json()['access_token']}")
        in_process = await verifier.verify(bearer(SigningKeys.open(data_dir), clock))
        refused = await http.post(f"{url}/token", json={"scopes": []})
    finally:
        process.terminate()
        await process.wait()
    assert isinstance(principal, Principal)
    assert principal.email == "a@example.com"
    assert isinstance(in_process, Principal)
    assert refused.status_code == 400


async def _until_alive(http: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                if (await http.get(f"{url}/livez")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
