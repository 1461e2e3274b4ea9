"""The connection to Redis: each command gets its own answer, and a connection that has ended is followed by another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from infra.servers.ports import LOOPBACK
from infra.servers.redis import EmbeddedRedis
from shared_lib.store.redis_connection import RedisConnection, RedisError
from shared_lib.store.replay import REST_S, ReplayCache
from tests.kit.proxy import proxy_to
from tests.kit.tls import authority, server_pair
from tests.kit.waiting import until

LEASE_S = 30


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[RedisConnection]:
    one = RedisConnection(redis_url)
    yield one
    one.drop()


@asynccontextmanager
async def answering(
    answer: Callable[[bytes], bytes], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """The address of a server that answers each piece that arrives."""

    served: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        try:
            while data := await reader.read(4096):
                writer.write(answer(data))
        except OSError:
            pass  # the client is gone
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=tls)
    async with server:
        yield f"redis{'s' if tls else ''}://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/0"
    await asyncio.gather(*(task for task in served if task))
    await asyncio.sleep(0)  # the loop closes the sockets of transports that were aborted


async def test_a_thousand_commands_at_once_get_their_own_answers(connection: RedisConnection) -> None:
    texts = [f"text {n}".encode() for n in range(1000)]
    assert await asyncio.gather(*(connection.call("ECHO", text) for text in texts)) == texts


async def test_answers_are_bytes_numbers_lists_or_nothing(connection: RedisConnection) -> None:
    assert await connection.call("SET", "boxoffice:a", b"\0\r\n\xff", "EX", 60) == b"OK"
    assert await connection.call("GET", "boxoffice:a") == b"\0\r\n\xff"
    assert await connection.call("MGET", "boxoffice:a", "boxoffice:b") == [b"\0\r\n\xff", None]
    assert await connection.call("DEL", "boxoffice:a", "boxoffice:b") == 1


async def test_a_command_that_is_refused_disturbs_no_other(connection: RedisConnection) -> None:
    found = await asyncio.gather(
        connection.call("ECHO", "one"),
        connection.call("NOSUCHCOMMAND", "hunter2"),
        connection.call("ECHO", "two"),
        return_exceptions=True,
    )
    assert [found[0], found[2]] == [b"one", b"two"]
    assert isinstance(found[1], RedisError)
    assert str(found[1]) == "ERR"


async def test_a_caller_that_is_gone_leaves_the_next_one_its_own_answer(connection: RedisConnection) -> None:
    await connection.call("PING")
    gone = asyncio.create_task(connection.call("BLPOP", "boxoffice:none", "0.05"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await connection.call("ECHO", "mine") == b"mine"


async def test_callers_of_a_connection_that_ends_hear_it_and_the_next_one_connects(
    connection: RedisConnection, redis_url: str
) -> None:
    number = await connection.call("CLIENT", "ID")
    waiting = asyncio.create_task(connection.call("BLPOP", "boxoffice:none", "0"))
    with redis.Redis.from_url(redis_url) as client:
        await until(lambda: b"blpop" in str(client.client_list(client_id=[number])).encode())
        client.client_kill_filter(_id=str(number))
    with pytest.raises(OSError, match="closed"):
        await waiting
    assert await connection.call("CLIENT", "ID") != number


async def test_commands_that_wait_for_the_first_connection_share_it(connection: RedisConnection) -> None:
    assert len(set(await asyncio.gather(*(connection.call("CLIENT", "ID") for _ in range(20))))) == 1


@pytest.mark.usefixtures("redis_here")
async def test_a_name_a_password_and_a_database_are_sent_first() -> None:
    with EmbeddedRedis(password="pass%2Fword") as server:
        right = RedisConnection(server.url(3).replace("pass%2Fword", "pass%252Fword"))
        wrong = RedisConnection(server.url(3))  # read as pass/word
        try:
            assert await right.call("SET", "boxoffice:a", "here") == b"OK"
            assert await right.call("SELECT", 0) == b"OK"
            assert await right.call("GET", "boxoffice:a") is None
            for _ in range(2):  # a connection that was not let in is not kept
                with pytest.raises(RedisError, match="WRONGPASS"):
                    await wrong.call("PING")
        finally:
            right.drop()
            wrong.drop()


async def test_a_redis_that_fell_silent_is_asked_on_another_connection(redis_url: str) -> None:
    now_s = 0.0
    with proxy_to(redis_url) as proxy:
        cache = ReplayCache(proxy.url, clock=lambda: now_s)
        assert await cache.claim("one", b"a", LEASE_S) is None
        proxy.silent = True
        assert await cache.claim("one", b"b", LEASE_S) is None
        proxy.silent = False
        now_s = REST_S
        assert await cache.claim("one", b"c", LEASE_S) == b"a"
        await cache.aclose()


@pytest.mark.parametrize(
    ("said", "first"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", None), (b"+one\r\n+two\r\n", b"one")],
    ids=["another protocol", "an answer to no command"],
)
async def test_what_speaks_otherwise_is_left(said: bytes, first: bytes | None) -> None:
    async with answering(lambda _: said) as address:
        connection = RedisConnection(address)
        for _ in range(2):  # nothing of the last connection is an answer on the next
            assert await outcome(connection.call("PING")) == first
            await until(lambda: connection._link is None or connection._link.ended)


async def outcome(answer: Awaitable[bytes]) -> bytes | None:
    """None where the connection ended first."""
    try:
        return await answer
    except OSError:
        return None


async def test_tls_needs_a_certificate_that_this_machine_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, others = authority("ours"), authority("others")
    certificate, key = server_pair(ours, tmp_path, LOOPBACK)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with answering(lambda _: b"+PONG\r\n", tls=tls) as address:
        monkeypatch.setenv("SSL_CERT_FILE", str(ours.pem(tmp_path / "ours.pem")))
        connection = RedisConnection(address)
        assert await connection.call("PING") == b"PONG"
        connection.drop()
        monkeypatch.setenv("SSL_CERT_FILE", str(others.pem(tmp_path / "others.pem")))
        with pytest.raises(ssl.SSLCertVerificationError):
            await RedisConnection(address).call("PING")
