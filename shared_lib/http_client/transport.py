"""httpx's transport over aiohttp: what httpx.AsyncClient or `fetch` send goes through it.

`fetch` hands its requests over without making objects of httpx, which would take as long as sending them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import httpx

from shared_lib.http_client.auth import HeaderAuth

if TYPE_CHECKING:
    from shared_lib.http_client.session import Answer, Session

CONNECTIONS_MAX: Final = 100
# Node and uvicorn close an idle connection after 5 s, others later; the side that closes first loses no request in it.
KEEP_ALIVE_S: Final = 4.0


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request once, on a kept connection where there is one. Belongs to the event loop of its first request.

    Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), read at the first request to a server.
    """

    def __init__(self, *, connections_max: int = CONNECTIONS_MAX, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._connections_max, self._keep_alive_s = connections_max, keep_alive_s
        self._session: Session | None = None
        self._proxies: dict[bytes, str | None] = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout: httpx.Timeout,
        auth: HeaderAuth | None = None,
    ) -> Answer:
        """The answer, its body not read yet: the caller must close it. Headers are sent as they are, with Host and the length.

        Raises httpx.TransportError or httpx.InvalidURL.
        """
        address = _address(url)
        return await (self._session or self._open()).send(
            method,
            str(address),
            headers,
            body,
            pool_s=timeout.pool,
            connect_s=timeout.connect,
            write_s=timeout.write,
            read_s=timeout.read,
            auth=auth,
            proxy=self._proxy_to(address),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The limits are those of the request's "timeout" extension, as httpx.Timeout writes them."""
        url, timeout = _of_a_server(request.url), request.extensions.get("timeout", {})
        answer = await (self._session or self._open()).send(
            request.method,
            str(url),
            request.headers.multi_items(),
            await request.aread(),
            pool_s=timeout.get("pool"),
            connect_s=timeout.get("connect"),
            write_s=timeout.get("write"),
            read_s=timeout.get("read"),
            proxy=self._proxy_to(url),
        )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=answer)

    async def aclose(self) -> None:
        if self._session:
            await self._session.aclose()

    def _open(self) -> Session:
        # Here, because aiohttp takes 0.1 s and 10 MiB, and many processes never ask a provider.
        from shared_lib.http_client.session import Session  # noqa: PLC0415

        self._session = Session(connections_max=self._connections_max, keep_alive_s=self._keep_alive_s)
        return self._session

    def _proxy_to(self, url: httpx.URL) -> str | None:
        server = url.raw_scheme + b"://" + url.netloc
        if server not in self._proxies:
            self._proxies[server] = _proxy_of_environment(url)
        return self._proxies[server]


@lru_cache(maxsize=256)
def _address(url: str) -> httpx.URL:
    """Most requests go to a few addresses, and parsing one takes as long as a third of the rest of a request."""
    return _of_a_server(httpx.URL(url))


def _of_a_server(url: httpx.URL) -> httpx.URL:
    """Without what httpx.AsyncClient has made a header of. Raises httpx.UnsupportedProtocol."""
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol("no address of a server")
    return url.copy_with(username=None, password=None) if url.userinfo else url


def _proxy_of_environment(url: httpx.URL) -> str | None:
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.netloc.decode()):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
