"""httpx's transport over aiohttp: what httpx.AsyncClient or `fetch` send goes through it.

A tenth of the processor time of httpx's own with 64 requests in flight, where `fetch` uses it without a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import httpx

if TYPE_CHECKING:
    from shared_lib.http_client.session import Session

CONNECTIONS_MAX: Final = 100
# Node and uvicorn close an idle connection after 5 s, others later; the side that closes first loses no request in it.
KEEP_ALIVE_S: Final = 4.0


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request once, on a kept connection where there is one. Belongs to the event loop of its first request.

    The limits are those of the request's "timeout" extension, as httpx.Timeout writes them. Proxies are those of the
    environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), read at the first request to a server.
    """

    def __init__(self, *, connections_max: int = CONNECTIONS_MAX, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._connections_max, self._keep_alive_s = connections_max, keep_alive_s
        self._session: Session | None = None
        self._proxies: dict[bytes, str | None] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url, session = request.url, self._session or self._open()
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.UnsupportedProtocol("no address of a server")
        if url.userinfo:  # httpx.AsyncClient has made a header of it
            url = url.copy_with(username=None, password=None)
        timeout = request.extensions.get("timeout", {})
        answer = await session.send(
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
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=session.body(answer))

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


def _proxy_of_environment(url: httpx.URL) -> str | None:
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.netloc.decode()):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
