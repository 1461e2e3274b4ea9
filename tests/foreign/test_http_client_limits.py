"""Limits of the client on time and connections, cancellation, TLS, proxies, and its end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from shared_lib.fetching import fetch
from shared_lib.http_client.tls import tls_context
from shared_lib.http_client.transport import AiohttpTransport
from shared_lib.providers.base import OutcomeUnknown, Unavailable
from shared_lib.providers.transport import Bearer, Transport
from tests.foreign.rude import ANSWERS, Rude
from tests.foreign.scripted import END, GUARD_S, Heard, Scripted, answered, scripted, silent, well
from tests.kit.tls import authority, server_pair
from tests.kit.waiting import until

PATIENT: Final = httpx.Timeout(GUARD_S)
ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
async def http() -> AsyncIterator[AiohttpTransport]:
    opened = AiohttpTransport(connections_max=4)
    yield opened
    await opened.aclose()


def wire(http: AiohttpTransport, url: str, timeout: httpx.Timeout = PATIENT) -> Transport:
    return Transport("sandbox", url, http, Bearer("sk_x"), timeout, exchange_s=GUARD_S)


# ---- time --------------------------------------------------------------------------------------------------


async def test_silence_is_ended_by_the_limit_on_reading(server: Scripted, http: AiohttpTransport) -> None:
    server.script = silent
    impatient = wire(http, server.url, httpx.Timeout(GUARD_S, read=0.1))
    with pytest.raises(OutcomeUnknown, match="ReadTimeout"):
        await impatient.write("POST", "/v1/charges", {}, "k")
    with pytest.raises(Unavailable, match="ReadTimeout"):
        await impatient.read("/v1/payments/1")
    await until(lambda: server.open == 0)
    assert len(server.heard) == 2


async def test_silence_in_the_body_is_ended_too(server: Scripted, http: AiohttpTransport) -> None:
    async def half(heard: Heard) -> None:
        await heard.say(answered()[:-1])
        await heard.silence()

    server.script = half
    with pytest.raises(OutcomeUnknown, match="ReadTimeout"):
        await wire(http, server.url, httpx.Timeout(GUARD_S, read=0.1)).write("POST", "/v1/charges", {}, "k")
    await until(lambda: server.open == 0)


async def test_a_server_that_does_not_read_is_ended_by_the_limit_on_writing(http: AiohttpTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(OutcomeUnknown, match="WriteTimeout"):
            # More than the buffers of both sides take.
            await wire(http, url, httpx.Timeout(GUARD_S, write=0.2)).write(
                "POST", "/", {"a": "b" * (1 << 24)}, "k"
            )


async def test_an_answer_may_come_before_the_request_has_ended(http: AiohttpTransport) -> None:
    """A server that refuses a long request need not read it, and the rest is not sent any more."""
    answer_read, ended, length = asyncio.Event(), asyncio.Event(), 1 << 25
    taken = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(END)
        writer.write(answered(b"{}", status="413 Content Too Large"))
        await answer_read.wait()
        with suppress(ConnectionError):
            while some := await reader.read(1 << 20):
                taken += len(some)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(refuse, "127.0.0.1", limit=1024) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        exchange = await wire(http, url).write("POST", "/", {"a": "b" * length}, "k")
        assert exchange.status == 413
        answer_read.set()
        await ended.wait()
    assert taken < length


async def test_a_server_that_takes_no_connection_was_not_reached(http: AiohttpTransport) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:  # what the queue of the kernel takes
            each.setblocking(False)
            each.connect_ex(address)
        try:
            impatient = httpx.Timeout(GUARD_S, connect=0.2)
            with pytest.raises(Unavailable, match="not_reached: ConnectTimeout"):
                await wire(http, f"http://127.0.0.1:{address[1]}", impatient).write("POST", "/", {}, "k")
        finally:
            for each in waiting:
                each.close()


async def test_the_whole_exchange_has_a_limit(server: Scripted, http: AiohttpTransport) -> None:
    server.script = silent
    with pytest.raises(TimeoutError):
        await fetch(http, "POST", server.url, bytes_max=1, within_s=0.1)
    await until(lambda: server.open == 0)


# ---- connections -------------------------------------------------------------------------------------------


async def test_no_more_connections_than_allowed_and_who_waits_too_long_was_not_sent(
    server: Scripted, http: AiohttpTransport
) -> None:
    release = asyncio.Event()

    async def held(heard: Heard) -> None:
        await release.wait()
        await well(heard)

    server.script = held
    busy = [asyncio.create_task(wire(http, server.url).write("POST", "/", {}, "k")) for _ in range(4)]
    await until(lambda: len(server.heard) == 4)
    with pytest.raises(Unavailable, match="not_reached"):
        await wire(http, server.url, httpx.Timeout(GUARD_S, connect=0.1, pool=0.1)).write(
            "POST", "/", {}, "k"
        )
    patient = [asyncio.create_task(wire(http, server.url).write("POST", "/", {}, "k")) for _ in range(4)]
    await asyncio.sleep(0)
    release.set()
    assert {exchange.status for exchange in await asyncio.gather(*busy, *patient)} == {200}
    assert (len(server.heard), server.connections) == (8, 4)


async def test_who_is_cancelled_leaves_no_connection_behind(server: Scripted, http: AiohttpTransport) -> None:
    server.script = silent
    calls = [asyncio.create_task(wire(http, server.url).write("POST", "/", {}, "k")) for _ in range(12)]
    await until(lambda: len(server.heard) == 4)  # the others wait for a connection
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)
    await until(lambda: server.open == 0)
    server.script = well
    again = [wire(http, server.url).write("POST", "/", {}, "k") for _ in range(4)]
    assert {exchange.status for exchange in await asyncio.gather(*again)} == {200}


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(
    server: Scripted, http: AiohttpTransport
) -> None:
    async def endless(heard: Heard) -> None:
        await heard.say(b"HTTP/1.1 200 OK" + END)
        while True:
            await heard.say(b"a" * 65_536)

    server.script = endless
    found = await fetch(http, "GET", server.url, bytes_max=1 << 20, within_s=GUARD_S)
    assert (found.status, found.body) == (200, None)
    await until(lambda: server.open == 0)


CHILD: Final = """
import asyncio, sys, httpx
from shared_lib.fetching import fetch
from shared_lib.http_client.transport import AiohttpTransport

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60
    http = AiohttpTransport()
    for _ in range(3):
        found = await asyncio.gather(*(fetch(http, "GET", sys.argv[1], bytes_max=1 << 20, within_s=30) for _ in range(8)))
        assert all(one.status == 200 for one in found)
    waiting = asyncio.create_task(fetch(http, "GET", sys.argv[1] + "/silent", bytes_max=1, within_s=30))
    await asyncio.sleep(0.2)
    await http.aclose()
    await asyncio.wait([waiting])
    assert isinstance(waiting.exception(), httpx.TransportError)

asyncio.run(main(), debug=True)
"""


async def test_it_closes_without_a_word(server: Scripted) -> None:
    """Warnings about what was left open are errors, and asyncio's debug mode would log."""

    async def script(heard: Heard) -> None:
        await (heard.silence() if "/silent" in heard.head else well(heard))

    server.script = script
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-W", "error", "-c", CHILD, server.url, cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, err = await child.communicate()
    assert (child.returncode, err.decode()) == (0, "")
    await until(lambda: server.open == 0)


# ---- TLS and proxies ---------------------------------------------------------------------------------------


@pytest.fixture
def own_context() -> Iterator[None]:
    tls_context.cache_clear()
    yield
    tls_context.cache_clear()


@pytest.mark.usefixtures("own_context")
async def test_a_certificate_is_verified_with_one_context_for_all(
    http: AiohttpTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = authority()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*server_pair(known, tmp_path, "127.0.0.1"))
    async with scripted(serving) as server, asyncio.timeout(GUARD_S):
        with pytest.raises(Unavailable, match="not_reached: ConnectError"):
            await wire(http, server.url).write("POST", "/", {}, "k")
        assert server.heard == []
        monkeypatch.setenv("SSL_CERT_FILE", str(known.pem(tmp_path / "root.crt")))
        tls_context.cache_clear()
        for _ in range(3):
            assert (await wire(http, server.url).write("POST", "/", {}, "k")).status == 200
        assert tls_context.cache_info().misses == 1
        with pytest.raises(Unavailable, match="not_reached: ConnectError"):  # it names 127.0.0.1 alone
            await wire(http, server.url.replace("127.0.0.1", "localhost")).write("POST", "/", {}, "k")


async def test_a_proxy_of_the_environment_is_used_but_where_it_is_not_wanted(
    server: Scripted, http: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("://", "://me:secret@"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    await wire(http, "http://provider.example").write("POST", "/v1/charges", {}, "k")
    await wire(http, server.url).write("POST", "/v1/charges", {}, "k")
    through, direct = (heard.head for heard in server.heard)
    assert through.startswith("post http://provider.example/v1/charges ")
    assert "proxy-authorization: basic bwu6c2vjcmv0" in through
    assert "authorization: bearer sk_x" in direct
    assert "proxy-authorization" not in direct


@pytest.mark.parametrize("name", ["a bomb", "a bomb in deflate", "a body without end", "a gzip without end"])
async def test_a_bomb_is_refused(http: AiohttpTransport, rude: Rude, name: str) -> None:
    rude.answer = ANSWERS[name]()
    found = await fetch(http, "GET", rude.url, bytes_max=1 << 20, within_s=GUARD_S)
    assert (found.status, found.body) == (200, None)
