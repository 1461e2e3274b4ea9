"""An answer leaves in one piece, and what is no answer leaves as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from shared_lib.web.one_write import Joining, OneWrite
from tests.kit.raw_http import exchange
from tests.kit.serving import serving

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


class Recorder(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True


async def turn() -> None:
    """Until the event loop has called what was due."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.fixture
async def wire() -> tuple[Recorder, Joining]:
    recorder = Recorder()
    return recorder, Joining(recorder, asyncio.get_running_loop())


async def test_the_head_leaves_with_the_body(wire: tuple[Recorder, Joining]) -> None:
    recorder, joining = wire
    for _ in range(2):
        joining.write(HEAD)
        joining.write(b"body")
    assert recorder.written == [HEAD + b"body"] * 2
    await turn()
    assert len(recorder.written) == 2


async def test_a_head_without_a_body_leaves_in_the_next_turn(wire: tuple[Recorder, Joining]) -> None:
    recorder, joining = wire
    joining.write(HEAD)
    assert recorder.written == []
    await turn()
    joining.write(b"body")
    assert recorder.written == [HEAD, b"body"]


async def test_a_head_leaves_before_its_connection_is_closed(wire: tuple[Recorder, Joining]) -> None:
    recorder, joining = wire
    joining.write(HEAD)
    joining.close()
    assert (recorder.written, recorder.closed) == ([HEAD], True)
    await turn()


async def answered(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    body = await request.body()
    if request.url.path == "/pieces":

        async def pieces() -> AsyncIterator[bytes]:
            for n in range(3):
                yield b"HTTP/1.1 %d" % n
                await asyncio.sleep(0)

        await StreamingResponse(pieces())(scope, receive, send)
    else:
        await Response(body or b"nothing", 200)(scope, receive, send)


async def test_a_server_with_it_answers_as_uvicorn_does() -> None:
    async with serving(answered, http=OneWrite) as url, httpx.AsyncClient(base_url=url) as client:
        for _ in range(3):
            assert (await client.get("/")).text == "nothing"
            assert (await client.post("/", content=b"x" * 100_000)).content == b"x" * 100_000
            assert (await client.head("/")).headers["content-length"] == "7"
            assert (await client.get("/pieces")).text == "HTTP/1.1 0HTTP/1.1 1HTTP/1.1 2"
        port = int(url.rpartition(":")[2])
        asked = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
        status, _, rest = await asyncio.to_thread(exchange, port, asked)
        assert (status, rest.startswith(b"HTTP/1.1 200 OK\r\n"), rest.endswith(b"\r\n\r\nok")) == (
            100,
            True,
            True,
        )
        closing = b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        assert (await asyncio.to_thread(exchange, port, closing))[0] == 200
        assert (await asyncio.to_thread(exchange, port, b"no HTTP\r\n\r\n"))[0] == 400
