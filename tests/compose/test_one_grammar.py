"""NGINX and the doors read one Authorization header in one way: nothing is let in that was not counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.compose.nginx import Gateway, nginx_binary, running_nginx
from tests.kit.cinema import Cinema, doors
from tests.kit.raw_http import exchange
from tests.kit.serving import serving

# %s is a good token of a customer; what both say about it.
ACCEPTED = (
    "Bearer %s",
    "bearer %s",
    "BEARER %s",
    "bEaReR %s",
    "  Bearer %s",
    "\tBearer %s",
    "Bearer %s  ",
    "Bearer %s\t",
)
REFUSED = {
    "Bearer  %s": "token_malformed",
    "Bearer\t%s": "token_malformed",
    "Bearer \t%s": "token_malformed",
    "Bearer%s": "token_malformed",
    "%s": "token_malformed",
    "Bearer": "token_malformed",
    "Bearer ": "token_malformed",
    "Basic %s": "token_malformed",
    "JWT %s": "token_malformed",
    "Bearer=%s": "token_malformed",
    "Bearer: %s": "token_malformed",
    'Bearer "%s"': "token_malformed",
    "Bearer %s,": "token_malformed",
    "Bearer %s;x": "token_malformed",
    "Bearer %s=": "token_malformed",
    "Bearer %s %s": "token_malformed",
    "Bearer %s, Bearer %s": "token_malformed",
    "Bearer x.%s": "token_malformed",
    "Bearer .%s": "token_malformed",
    "Bearer \xa0%s": "token_malformed",
    "Bearer %s\xa0": "token_malformed",
    "\xa0Bearer %s": "token_malformed",
    "malformed": "token_malformed",
    "": "token_missing",
    " ": "token_missing",
    "\t": "token_missing",
}


@pytest.fixture
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One that counts to the burst and then waits an hour, so that a slow machine changes nothing."""
    if nginx_binary() is None:
        pytest.skip("no nginx here: apt-get install nginx-light")
    slow = {"zone=customers:10m rate=20r/s": "zone=customers:10m rate=1r/m"}
    with running_nginx(tmp_path_factory.mktemp("nginx"), slow) as gateway:
        yield gateway


@asynccontextmanager
async def served(gateway: Gateway) -> AsyncIterator[None]:
    """The real account door where NGINX looks for it."""
    address = "127.1.0.77"
    async with serving(doors()["account"], gateway.door_port, host=address):
        gateway.names.known["account"] = address
        yield


async def ask(port: int, *authorizations: str) -> tuple[int, str | None]:
    lines = b"".join(b"Authorization: %s\r\n" % value.encode("latin-1") for value in authorizations)
    request = b"GET /v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + lines + b"\r\n"
    status, _, body = await asyncio.to_thread(exchange, port, request)
    return status, body.get("code") if isinstance(body, dict) else None


async def test_both_read_every_spelling_alike(cinema: Cinema, nginx: Gateway) -> None:
    door = int(cinema.url.rpartition(":")[2])
    async with served(nginx):
        for number, spelling in enumerate(ACCEPTED):
            sent = spelling.replace("%s", cinema.token(f"reader{number}"))
            assert await ask(door, sent) == (200, None), f"the door: {spelling!r}"
            assert await ask(nginx.port, sent) == (200, None), f"NGINX: {spelling!r}"
        for number, (spelling, code) in enumerate(REFUSED.items()):
            sent = spelling.replace("%s", cinema.token(f"refused{number}"))
            assert await ask(door, sent) == (401, code), f"the door: {spelling!r}"
            assert await ask(nginx.port, sent) == (401, code), f"NGINX: {spelling!r}"
        token = f"Bearer {cinema.token()}"
        assert await ask(door, token, token) == (401, "token_malformed")
        assert await ask(nginx.port, token, token) == (400, "request_malformed")


async def test_no_accepted_spelling_escapes_the_customers_limit(cinema: Cinema, nginx: Gateway) -> None:
    token = cinema.token()
    others = [chr(ord(token[-1]) + by) for by in (-1, 1) if chr(ord(token[-1]) + by).isalnum()]
    spellings = [spelling.replace("%s", token) for spelling in ACCEPTED]
    spellings += [f"Bearer {token[:-1]}{last}" for last in others]  # other spare bits: the same signature
    async with served(nginx):
        answers = [await ask(nginx.port, spellings[n % len(spellings)]) for n in range(41 + len(spellings))]
    assert {status for status, _ in answers[:41]} <= {200, 401}
    assert answers[41:] == [(429, "rate_limited")] * len(spellings)
