"""The public keys of an issuer of tokens: fetched over HTTP, cached, and refused when they are too old."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import httpx
from joserfc import jws
from joserfc.errors import (
    BadSignatureError,
    DecodeError,
    JoseError,
    SecurityWarning,
    UnsupportedAlgorithmError,
)
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from shared_lib.fetching import fetch
from shared_lib.owned import owned
from shared_lib.untrusted import Limits, json_of

log = logging.getLogger("boxoffice.auth")

_DOCUMENT_BYTES_MAX = 256 * 1024
_DOCUMENT = Limits(depth=8, values=5_000)
_KEYS_MAX = 100
_KID_CHARS_MAX = 256
_MODULUS_CHARS_MAX = 1_500  # 8192 bits in base64url; each verification costs their square

REFRESH_INTERVAL_MIN = timedelta(seconds=10)  # unknown kids and outages cannot make us fetch more often
FRESH_FOR = timedelta(minutes=5)  # then refreshed in the background
WAITED_FOR = timedelta(hours=1)  # then callers wait for the refresh; in an outage the old keys still serve
TRUSTED_FOR = timedelta(hours=24)  # then no key serves: the issuer may have withdrawn some meanwhile


class _Algorithms(jws.JWSRegistry):
    """The algorithms of a key's own type, whatever a token's header says (RFC 8725, 3.1)."""

    # The callers limit the length of a token.
    max_header_length = max_payload_length = max_signature_length = 1 << 20

    def get_alg(self, name: str) -> JWSAlgModel:
        # Replaces the library's, which warns for each token about the name EdDSA: RFC 9864 deprecated it, issuers still use it.
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError("The key is not for this algorithm")
        return self.algorithms[name]


_RSA = _Algorithms(algorithms=["RS256"], strict_check_header=False)
_ED25519 = _Algorithms(algorithms=["EdDSA", "Ed25519"], strict_check_header=False)


def unverified_header(segment: str) -> Mapping[str, object]:
    """The header of a token before its signature is verified. Raises JoseError, ValueError or RecursionError."""
    token = f"{segment}..".encode()
    header: object = jws.extract_compact(
        token, registry=_RSA
    ).headers()  # any registry will do: only its limits apply here
    if not isinstance(header, dict):
        raise ValueError("not an object")  # noqa: TRY004 - what was received is wrong, not a call
    return header


@dataclass(frozen=True, slots=True, eq=False)
class VerifyingKey:
    """A public key of the issuer, with the algorithms it may be used with."""

    key: RSAKey | OKPKey
    algorithms: jws.JWSRegistry

    def payload_of(self, token: str) -> bytes:
        """The payload of the token. Raises JoseError unless this key signed it."""
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        algorithm = _algorithm_of(self, header)
        try:
            content = urlsafe_b64decode(payload.encode())
            proof = urlsafe_b64decode(signature.encode())
        except ValueError:
            raise DecodeError("no base64url without padding") from None
        if not algorithm.verify(signed.encode(), proof, self.key):
            raise BadSignatureError
        return content


@lru_cache(maxsize=256)
def _algorithm_of(key: VerifyingKey, header_segment: str) -> JWSAlgModel:
    """The algorithm that a token's header names, if the header is valid and the key allows it. Raises JoseError.

    All tokens of one key have the same header, byte by byte, so the library checks it once and the result is cached.
    """
    header = dict(unverified_header(header_segment))
    key.algorithms.check_header(header)
    algorithm = key.algorithms.get_alg(str(header["alg"]))
    algorithm.check_key(key.key)
    return algorithm


class Jwks:
    """The key set at `url`. Concurrent callers share one request; in an outage the last known keys serve until they are too old."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        *,
        now: Callable[[], datetime],
        timeout_s: float = 2.0,
        refresh_interval_min: timedelta = REFRESH_INTERVAL_MIN,
        trusted_for: timedelta = TRUSTED_FOR,
    ) -> None:
        self._trusted_for = trusted_for
        self._http, self._url, self._now, self._timeout_s = http, url, now, timeout_s
        self._refresh_interval_min = refresh_interval_min
        self._keys: Mapping[str, VerifyingKey] = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._refresh: asyncio.Task[None] | None = None

    @property
    def trusted(self) -> bool:
        """False when the keys are missing or too old: no token can be verified, and no caller accepted."""
        return self._fetched_at is not None and self._now() - self._fetched_at <= self._trusted_for

    async def key(self, kid: str) -> VerifyingKey | None:
        """The key with that id, or None. Fetches the set at most once per refresh interval."""
        fetched_at = self._fetched_at
        age = self._now() - fetched_at if fetched_at else timedelta.max
        if kid not in self._keys or age > min(WAITED_FOR, self._trusted_for):
            await self.refresh()
        elif age > FRESH_FOR:
            self._refresh_soon()
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Fetch the set unless that was tried within the refresh interval. Returns when the attempt has ended, also in failure."""
        task = self._refresh_soon()
        if task:
            # A caller that is cancelled must not cancel the request of the others, and a request that is cancelled must
            # not cancel its callers.
            await asyncio.wait([task])

    def _refresh_soon(self) -> asyncio.Task[None] | None:
        if self._refresh and not self._refresh.done():
            return self._refresh
        now = self._now()
        # The lower bound: a clock that was set back must not stop refreshes.
        if self._tried_at and timedelta(0) <= now - self._tried_at < self._refresh_interval_min:
            return None
        self._tried_at = now
        self._refresh = owned(self._fetch(now), name="jwks-refresh", died=lambda _: None)
        return self._refresh

    async def _fetch(self, now: datetime) -> None:
        try:
            keys = await self._fetched()
        except Exception as error:  # noqa: BLE001  # whatever failed, the keys we have still serve
            log.warning("auth_keys_unavailable", extra={"url": self._url, "error": type(error).__name__})
            return
        self._keys, self._fetched_at = keys, now

    async def _fetched(self) -> Mapping[str, VerifyingKey]:
        reply = await fetch(
            self._http,
            "GET",
            self._url,
            bytes_max=_DOCUMENT_BYTES_MAX,
            within_s=self._timeout_s,
            timeout=self._timeout_s,
        )
        if not reply.is_success:
            raise ValueError(f"the key service answered {reply.status}")
        if reply.body is None:
            raise ValueError("the key set is too large")
        return _parse(json_of(reply.body, _DOCUMENT))


def _parse(document: object) -> Mapping[str, VerifyingKey]:
    """The usable keys by kid. Raises ValueError if there is none: an empty set is a fault of the issuer, not a rotation."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON Web Key Set")  # noqa: TRY004 - what was received is wrong, not a call
    keys = {jwk["kid"]: key for jwk in listed[:_KEYS_MAX] if (key := _usable(jwk))}
    if not keys:
        raise ValueError("no usable key in the set")
    return keys


def _usable(jwk: object) -> VerifyingKey | None:
    """The key with the algorithms of its type, or None for a key that we cannot use."""
    # A published private key ("d") is compromised: it verifies nothing.
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or "d" in jwk:
        return None
    if len(jwk["kid"]) > _KID_CHARS_MAX or len(str(jwk.get("n"))) > _MODULUS_CHARS_MAX:
        return None
    kind: type[RSAKey | OKPKey]
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            kind, algorithms = RSAKey, _RSA
        case "OKP", "Ed25519":
            kind, algorithms = OKPKey, _ED25519
        case _:
            return None
    if jwk.get("use", "sig") != "sig" or jwk.get("alg") not in (None, *(algorithms.allowed or ())):
        return None
    try:
        with warnings.catch_warnings(action="error", category=SecurityWarning):  # a short modulus
            return VerifyingKey(kind.import_key(jwk), algorithms)
    except (JoseError, SecurityWarning, ValueError, TypeError, KeyError):
        return None
