"""One HTTP exchange with a provider, and the error for a failed one. No retries: the caller, who knows the key, retries.

not sent (no connection, no pool)            Unavailable
sent, without a readable answer              OutcomeUnknown (too large, too slow, nested too deeply, ...: see fetching.py)
a read (GET) without an answer               Unavailable: nothing can have been executed
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import msgspec

from shared_lib.fetching import Fetched, Http, fetch
from shared_lib.http_client.auth import HeaderAuth
from shared_lib.providers.errors import OutcomeUnknown, ProviderError, Unavailable
from shared_lib.untrusted import UntrustedError, json_of

# A page of a hundred payments takes less than a tenth of this.
ANSWER_BYTES_MAX = 1 << 20
# The whole exchange: httpx limits each read, and a slow answer has many. Shorter than callers wait (asking.payments.ASK_S).
EXCHANGE_S = 30.0
_REQUEST_ID_CHARS_MAX = 128
_CODE = re.compile(r"[\w.:-]{1,100}")

TIMEOUT = httpx.Timeout(connect=3.0, write=5.0, read=20.0, pool=5.0)

_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An answer with any status. `body` is empty when it was not a JSON object."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    request_id: str | None
    retry_after: timedelta | None

    @property
    def error_code(self) -> str | None:
        error = self.body.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        return code if isinstance(code, str) and _CODE.fullmatch(code) else None


class Bearer(HeaderAuth):
    def __init__(self, key: str) -> None:
        super().__init__("authorization", f"Bearer {key}")


class Basic(HeaderAuth):
    """A user and a password."""

    def __init__(self, user: str, password: str) -> None:
        pair = b64encode(f"{user}:{password}".encode()).decode()
        super().__init__("authorization", f"Basic {pair}")


class Encoding(NamedTuple):
    """How bodies are written."""

    content_type: str
    encode: Callable[[Mapping[str, object]], bytes]


JSON = Encoding("application/json", msgspec.json.encode)


class Transport:
    """Sends requests to one provider. The caller owns `http`, and decides about pools and proxies.

    `headers` go with each request; `key_header` is what this provider calls the idempotency key.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        http: Http,
        auth: httpx.Auth,
        timeout: httpx.Timeout,
        *,
        exchange_s: float = EXCHANGE_S,
        encoding: Encoding = JSON,
        headers: Mapping[str, str] = MappingProxyType({}),
        key_header: str = "idempotency-key",
    ) -> None:
        self._provider, self._base_url = provider, base_url.rstrip("/")
        self._http, self._auth, self._timeout = http, auth, timeout
        self._exchange_s, self._encoding, self._key_header = exchange_s, encoding, key_header
        self._headers = dict(headers)

    def __repr__(self) -> str:
        return f"Transport({self._provider}, {self._base_url})"

    async def read(self, path: str, params: Mapping[str, str] | None = None) -> Exchange:
        return await self._exchange("GET", path, mutates=False, params=params, headers=self._headers)

    async def write(self, method: str, path: str, body: Mapping[str, object], key: str | None) -> Exchange:
        """`key` is the idempotency key; None for verbs that are idempotent without one."""
        headers, content = dict(self._headers), None
        if key:
            headers[self._key_header] = key
        if method != "DELETE":
            content = self._encoding.encode(body)
            headers["content-type"] = self._encoding.content_type
        return await self._exchange(method, path, mutates=True, content=content, headers=headers)

    async def _exchange(self, method: str, path: str, *, mutates: bool, **how: Any) -> Exchange:
        # Raised here and not in the except block: the httpx error contains the request with the key, and must not become
        # the context of our error.
        answer = await self._send(method, path, mutates=mutates, **how)
        if isinstance(answer, ProviderError):
            raise answer
        return _read(answer)

    async def _send(self, method: str, path: str, *, mutates: bool, **how: Any) -> Fetched | ProviderError:
        try:
            return await fetch(
                self._http,
                method,
                self._base_url + path,
                bytes_max=ANSWER_BYTES_MAX,
                within_s=self._exchange_s,
                auth=self._auth,
                timeout=self._timeout,
                **how,
            )
        except Exception as error:  # noqa: BLE001  # any error the client library raises for their bytes
            return self._failure(error, mutates=mutates)

    def _failure(self, error: Exception, *, mutates: bool) -> ProviderError:
        kind = type(error).__name__
        if isinstance(error, _NEVER_LEFT):
            return Unavailable(self._provider, "not_reached", kind)
        if not mutates:
            return Unavailable(self._provider, "no_answer", kind)
        return OutcomeUnknown(self._provider, "no_answer", kind)


def _read(answer: Fetched) -> Exchange:
    try:
        body = None if answer.body is None else json_of(answer.body)
    except UntrustedError:
        body = None
    request_id = answer.headers.get("request-id")
    return Exchange(
        status=answer.status,
        body=body if isinstance(body, dict) else {},
        request_id=request_id and request_id[:_REQUEST_ID_CHARS_MAX],
        retry_after=_retry_after(answer.headers.get("retry-after")),
    )


def _retry_after(text: str | None) -> timedelta | None:
    """Only seconds are read; a date would need a clock, which an adapter does not have."""
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return timedelta(seconds=min(int(text), 86_400))
