"""uvicorn's HTTP protocol, which sends the head and the body of an answer with one system call.

uvicorn writes the head and then the body, and uvloop sends each piece at once: two system calls, two packets, and a reader that
wakes up twice. `python -m functions` gives this to uvicorn.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWrite(HttpToolsProtocol):
    """Nothing else differs from uvicorn's."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(cast("asyncio.Transport", Joining(transport, self.loop)))


class Joining:
    """A transport that keeps what begins an answer until the next piece comes, at most until the event loop has come round."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._begun = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._begun:
            data, self._begun = self._begun + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._begun = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._begun:
            data, self._begun = self._begun, b""
            self._transport.write(data)
