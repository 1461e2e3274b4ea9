"""A client as proxies are inside: connections that are kept, one request at a time on each, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self


class LostError(Exception):
    """A request left over an open connection, and no answer came back."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        """The other side has said that it closes the connection."""
        return self.headers.get("connection") == "close"


class Wire:
    """One connection. Opening it raises OSError when nothing listens: no request was sent then."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    @property
    def is_closed(self) -> bool:
        """As far as this end knows; a proxy looks before it uses a connection again."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b"", *, held_back: int = 0
    ) -> Answer:
        """Send once and read the answer. The last `held_back` bytes of the body are sent after it. Raises LostError."""
        lines = [f"{method} {path} HTTP/1.1", "host: door", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        first = len(body) - held_back
        try:
            self._writer.write("\r\n".join([*lines, "", ""]).encode() + body[:first])
            await self._writer.drain()
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in head[1:-2])
            found = {name.lower(): value.strip() for name, _, value in fields}
            content = await self._reader.readexactly(int(found.get("content-length", 0)))
            self._writer.write(body[first:])
            await self._writer.drain()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LostError(f"{method} {path}: {type(error).__name__}") from error
        return Answer(int(head[0].split()[1]), found, content)
