"""One HTTP exchange with a foreign server, bounded in time, bytes and redirects.

The server is not ours: one that answers slowly, without end, or with 300 MB packed into 300 kB costs no more than the
limits allow.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

# Decompressed here, with a limit. Other encodings are not requested, and not read if they come anyway.
_PACKED: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's window bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An answer with a status. `body` is None when it was too large, or packed in a way that cannot be unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


async def fetch(
    http: httpx.AsyncClient, method: str, url: str, *, bytes_max: int, within_s: float, **how: Any
) -> Fetched:
    """Send one request and read at most `bytes_max` of its answer, within `within_s` seconds altogether.

    Raises httpx.HTTPError, httpx.InvalidURL or TimeoutError. Redirects are answers like any other.
    """
    headers = {"accept-encoding": "identity", **how.pop("headers", {})}
    async with (
        asyncio.timeout(within_s),
        http.stream(method, url, headers=headers, follow_redirects=False, **how) as answer,
    ):
        body = await _bounded(answer, bytes_max)
        return Fetched(status=answer.status_code, headers=answer.headers, body=body)


async def _bounded(answer: httpx.Response, bytes_max: int) -> bytes | None:
    packing = answer.headers.get("content-encoding", "identity").strip().lower()
    chunks = answer.aiter_raw()
    try:
        if packing in ("", "identity"):
            return await _plain(chunks, bytes_max)
        if packing in _PACKED:
            return await _unpacked(chunks, bytes_max, zlib.decompressobj(_PACKED[packing]))
    except zlib.error:
        pass
    return None


async def _plain(chunks: AsyncIterator[bytes], bytes_max: int) -> bytes | None:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)


async def _unpacked(chunks: AsyncIterator[bytes], bytes_max: int, unpacker: Any) -> bytes | None:
    body, packed = bytearray(), 0
    async for chunk in chunks:
        packed += len(chunk)
        body += unpacker.decompress(chunk, bytes_max + 1 - len(body))
        if len(body) > bytes_max or packed > bytes_max:
            return None
    return bytes(body) if unpacker.eof else None
