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

from shared_lib.http_client.auth import HeaderAuth
from shared_lib.http_client.transport import AiohttpTransport

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


Http = httpx.AsyncClient | httpx.AsyncBaseTransport
"""Either interface of httpx. AiohttpTransport takes an eighth of a client's processor time; a client adds cookies and event hooks."""


async def fetch(
    http: Http,
    method: str,
    url: str,
    *,
    bytes_max: int,
    within_s: float,
    timeout: httpx.Timeout | float | None = None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    content: bytes | None = None,
    auth: httpx.Auth | None = None,
) -> Fetched:
    """Send one request and read at most `bytes_max` of its answer, within `within_s` seconds altogether.

    `timeout` limits the parts of the exchange; without it, a client has its own. `auth` adds headers: over a transport it sees
    no answer. Raises httpx.HTTPError, httpx.InvalidURL or TimeoutError. Redirects are answers like any other.
    """
    headers = {"accept-encoding": "identity", **(headers or {})}
    async with asyncio.timeout(within_s):
        if isinstance(http, httpx.AsyncClient):
            request = http.build_request(
                method,
                url,
                headers=headers,
                params=params,
                content=content,
                timeout=timeout or httpx.USE_CLIENT_DEFAULT,
            )
            answer = await http.send(request, stream=True, auth=auth, follow_redirects=False)
            return await _read(answer.status_code, answer.headers, answer.stream, bytes_max)
        headers = {"accept": "*/*", "user-agent": "boxoffice", **headers}
        if not isinstance(timeout, httpx.Timeout):
            timeout = httpx.Timeout(timeout)
        if isinstance(http, AiohttpTransport) and (auth is None or isinstance(auth, HeaderAuth)):
            if params:
                url = str(httpx.URL(url, params=params))
            ours = await http.send(method, url, headers, content or b"", timeout=timeout, auth=auth)
            return await _read(ours.status, ours.headers, ours, bytes_max)
        request = httpx.Request(
            method,
            url,
            headers=headers,
            params=params,
            content=content,
            extensions={"timeout": timeout.as_dict()},
        )
        answer = await http.handle_async_request(next(auth.auth_flow(request)) if auth else request)
        return await _read(answer.status_code, answer.headers, answer.stream, bytes_max)


async def _read(status: int, headers: Mapping[str, str], stream: object, bytes_max: int) -> Fetched:
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        body = await _bounded(headers.get("content-encoding", "identity"), aiter(stream), bytes_max)
    finally:
        await stream.aclose()
    return Fetched(status=status, headers=headers, body=body)


async def _bounded(packing: str, chunks: AsyncIterator[bytes], bytes_max: int) -> bytes | None:
    packing = packing.strip().lower()
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
