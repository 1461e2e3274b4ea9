"""The public keys of the Auth service: fetched over HTTP, kept, and never more trusted than they must be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

log = logging.getLogger("boxoffice.auth")

_KEY_TYPES = {("RSA", None): "RS256", ("OKP", "Ed25519"): "EdDSA"}
_RSA_BITS_MIN = 2048
_DOCUMENT_BYTES_MAX = 256 * 1024

REFRESH_INTERVAL_MIN = timedelta(seconds=10)  # unknown kids and outages cannot make us ask more often
FRESH_FOR = timedelta(minutes=5)  # then refreshed behind the caller's back
TRUSTED_FOR = timedelta(hours=1)  # then a caller waits for an attempt; on an outage the old keys still serve


class Jwks:
    """The key set at `url`. Concurrent needs share one request; an outage leaves the last known keys."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        *,
        now: Callable[[], datetime],
        timeout_s: float = 2.0,
        refresh_interval_min: timedelta = REFRESH_INTERVAL_MIN,
    ) -> None:
        self._http, self._url, self._now, self._timeout_s = http, url, now, timeout_s
        self._refresh_interval_min = refresh_interval_min
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._refresh: asyncio.Task[None] | None = None

    @property
    def ever_fetched(self) -> bool:
        """False means that nothing can be verified, and nobody may be let in."""
        return self._fetched_at is not None

    async def key(self, kid: str) -> PyJWK | None:
        """The key with that id, or None. Asks the Auth service at most once per refresh interval."""
        fetched_at = self._fetched_at
        age = self._now() - fetched_at if fetched_at else timedelta.max
        if kid not in self._keys or age > TRUSTED_FOR:
            await self.refresh()
        elif age > FRESH_FOR:
            self._refresh_soon()
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Fetch the set unless that was tried a moment ago; returns when the attempt is over, failed or not."""
        task = self._refresh_soon()
        if task:
            # A caller that gives up must not take the others' request with it.
            await asyncio.shield(task)

    def _refresh_soon(self) -> asyncio.Task[None] | None:
        if self._refresh and not self._refresh.done():
            return self._refresh
        now = self._now()
        # A clock that went backwards must not silence us, hence the lower bound.
        if self._tried_at and timedelta(0) <= now - self._tried_at < self._refresh_interval_min:
            return None
        self._tried_at = now
        self._refresh = asyncio.create_task(self._fetch(now), name="jwks-refresh")
        return self._refresh

    async def _fetch(self, now: datetime) -> None:
        try:
            # The whole attempt is bounded: httpx bounds each read, and a slow drip has many.
            async with asyncio.timeout(self._timeout_s):
                reply = await self._http.get(self._url, follow_redirects=False, timeout=self._timeout_s)
            reply.raise_for_status()
            if len(reply.content) > _DOCUMENT_BYTES_MAX:
                raise ValueError("the key set is too large")
            keys = _parse(reply.json())
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.warning("auth_keys_unavailable", extra={"url": self._url, "error": type(error).__name__})
            return
        self._keys, self._fetched_at = keys, now


def _parse(document: object) -> Mapping[str, PyJWK]:
    """The keys we can use, by kid. ValueError if there is none: an empty set is a fault, not a rotation."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON Web Key Set")  # noqa: TRY004 - what was received is wrong, not a call
    keys = {jwk["kid"]: key for jwk in listed if (key := _usable(jwk))}
    if not keys:
        raise ValueError("no usable key in the set")
    return keys


def _usable(jwk: object) -> PyJWK | None:
    """The key with the algorithm that its own type dictates, or None for keys that are not for us.

    The algorithm comes from here and never from a token (RFC 8725, 3.1).
    """
    # A set that publishes a private key ("d") is a leak: that key verifies nothing.
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or "d" in jwk:
        return None
    algorithm = _KEY_TYPES.get((str(jwk.get("kty")), jwk.get("crv") if jwk.get("kty") == "OKP" else None))
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig":
        return None
    try:
        key = PyJWK(jwk, algorithm=algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _RSA_BITS_MIN:
        return None
    return key
