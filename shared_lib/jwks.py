"""The public keys of an issuer of tokens: fetched over HTTP, cached, and refused when they are too old."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from shared_lib.fetching import fetch
from shared_lib.owned import owned
from shared_lib.untrusted import Limits, json_of

log = logging.getLogger("boxoffice.auth")

_DOCUMENT_BYTES_MAX = 256 * 1024
_DOCUMENT = Limits(depth=8, values=5_000)
_KEYS_MAX = 100
_KID_CHARS_MAX = 256
_MODULUS_CHARS_MAX = 1_500  # 8192 bits in base64url; each verification costs their square
_MODULUS_BITS_MIN = 2048  # NIST SP 800-131A

REFRESH_INTERVAL_MIN = timedelta(seconds=10)  # unknown kids and outages cannot make us fetch more often
FRESH_FOR = timedelta(minutes=5)  # then refreshed in the background
WAITED_FOR = timedelta(hours=1)  # then callers wait for the refresh; in an outage the old keys still serve
TRUSTED_FOR = timedelta(hours=24)  # then no key serves: the issuer may have withdrawn some meanwhile

# What a token may call the algorithm of a key of each type.
_RSA: Final = ("RS256",)
_ED25519: Final = ("EdDSA", "Ed25519")  # RFC 9864 deprecated the first, which issuers still use


class TokenError(ValueError):
    """A token did not pass a check. The type names the check; nothing of the token is repeated."""


class DecodeError(TokenError):
    """Not base64url without padding, or not a JSON object."""


class UnsupportedAlgorithmError(TokenError):
    """The token names an algorithm that its key is not for."""


class BadSignatureError(TokenError):
    """The key did not sign this token."""


def unverified_header(segment: str) -> Mapping[str, object]:
    """The header of a token before its signature is verified. Raises DecodeError."""
    try:
        header: object = json.loads(_decoded(segment))
    except (ValueError, RecursionError):
        raise DecodeError from None
    if not isinstance(header, dict) or header.get("b64", True) is not True:  # RFC 7797: a payload as it is
        raise DecodeError
    return header


def _decoded(text: str) -> bytes:
    """base64url without padding (RFC 7515). Raises ValueError also for another spelling of the same bytes."""
    content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(content).rstrip(b"=").decode() != text:
        raise ValueError("not the base64url of these bytes")
    return content


@dataclass(frozen=True, slots=True, eq=False)
class VerifyingKey:
    """A public key of the issuer. Its type determines the algorithm, never the token (RFC 8725, 3.1).

    `algorithms`: what a token must call it.
    """

    key: RSAPublicKey | Ed25519PublicKey
    algorithms: tuple[str, ...]

    def payload_of(self, token: str) -> bytes:
        """The payload of the token. Raises TokenError unless this key signed it."""
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        _check_algorithm(self, header)
        try:
            content, proof = _decoded(payload), _decoded(signature)
        except ValueError:
            raise DecodeError from None
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(proof, signed.encode(), PKCS1v15(), SHA256())
            else:
                self.key.verify(proof, signed.encode())
        except InvalidSignature:
            raise BadSignatureError from None
        return content


@lru_cache(maxsize=256)
def _check_algorithm(key: VerifyingKey, header_segment: str) -> None:
    """Raises TokenError unless the header names an algorithm of the key.

    All tokens of one key have the same header, byte by byte, so it is read once and the result is cached.
    """
    if unverified_header(header_segment).get("alg") not in key.algorithms:
        raise UnsupportedAlgorithmError


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
    try:
        if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
            return None
        found = _key_of(jwk)
    except (ValueError, TypeError, KeyError):
        return None
    return found if found and jwk.get("alg") in (None, *found.algorithms) else None


def _key_of(jwk: Mapping[str, str]) -> VerifyingKey | None:
    """None for a key that is too short or of another type. Raises ValueError, TypeError or KeyError for what is no key."""
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            exponent, modulus = (int.from_bytes(_decoded(jwk[name])) for name in ("e", "n"))
            key = RSAPublicNumbers(exponent, modulus).public_key()
            return VerifyingKey(key, _RSA) if key.key_size >= _MODULUS_BITS_MIN else None
        case "OKP", "Ed25519":
            return VerifyingKey(Ed25519PublicKey.from_public_bytes(_decoded(jwk["x"])), _ED25519)
        case _:
            return None
