"""Who is asking: a bearer token of the Auth service becomes a Principal, or a Refusal with a stable code.

Rules of RFC 8725: the algorithm is the key's and never the token's, `kid` only looks up a key, the headers
`jku`, `x5u`, `jwk` are not read, expiry, issuer, audience and subject are required. Tokens are never logged.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

import httpx
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwt import JWTClaimsRegistry

from shared_lib.domain.errors import Code, Refusal
from shared_lib.jwks import REFRESH_INTERVAL_MIN, Jwks, unverified_header

CUSTOMER: Final = "billing:customer"
OPERATOR: Final = "billing:operator"

LEEWAY = timedelta(seconds=30)
VERDICT_TTL = timedelta(seconds=60)  # how long a key withdrawn by the Auth service may still be honored
VERDICTS_MAX = 10_000
_TOKEN_CHARS_MAX = 8 * 1024
_SUBJECT_CHARS_MAX = 255
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The customer or operator behind a request. `email` and `locale` as far as the Auth service knows them."""

    customer_id: str
    scopes: frozenset[str]
    email: str | None = None
    locale: str | None = None
    time_zone: str | None = None  # OpenID's `zoneinfo`, an IANA name

    @property
    def is_operator(self) -> bool:
        return OPERATOR in self.scopes

    def lacks(self, scope: str) -> Refusal | None:
        """The refusal to answer with when the token was not issued for this, else None."""
        if scope in self.scopes:
            return None
        return Refusal(Code.SCOPE_MISSING, f"the token lacks the scope {scope}")


class TokenVerifier:
    """Verifies bearer tokens against the Auth service's key set, and remembers verdicts for a minute.

    `now` is the only clock. The HTTP client belongs to the caller, who closes it.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        jwks_url: str,
        issuer: str,
        audience: str,
        now: Callable[[], datetime],
        refresh_interval_min: timedelta = REFRESH_INTERVAL_MIN,
        verdicts_max: int = VERDICTS_MAX,
    ) -> None:
        if not issuer or not audience:
            raise ValueError("an empty issuer or audience would accept everybody's tokens")
        self._jwks = Jwks(http, jwks_url, now=now, refresh_interval_min=refresh_interval_min)
        self._now = now
        self._rules = JWTClaimsRegistry(
            now=lambda: int(now().timestamp()),
            leeway=int(LEEWAY.total_seconds()),
            exp={"essential": True},
            iat={"essential": True},
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
        )
        self._verdicts = _Verdicts(verdicts_max)

    async def verify(self, authorization_header: str | None) -> Principal | Refusal:
        """Who is asking, or why not: AUTH_UNAVAILABLE is our fault (503), the other codes the caller's (401)."""
        try:
            token = _bearer(authorization_header)
            digest = hashlib.sha256(token.encode()).digest()
            if known := self._verdicts.get(digest, self._now()):
                return known
            claims = await self._claims(token)
            principal, expires_at = _principal(claims), _instant(claims["exp"])
        except _RefusalError as refused:
            return refused.refusal
        # Only acceptances are remembered: garbage could otherwise push them out.
        self._verdicts.put(digest, principal, until=min(expires_at, self._now() + VERDICT_TTL))
        return principal

    async def warm_up(self) -> None:
        """Fetch the keys before the first request needs them. An outage is not an error here."""
        await self._jwks.refresh()

    async def _claims(self, token: str) -> Mapping[str, Any]:
        kid = _kid(token)
        key = await self._jwks.key(kid)
        if not self._jwks.ever_fetched:
            detail = "the keys of the Auth service cannot be fetched"
            raise _RefusalError(Code.AUTH_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S)
        if key is None:
            raise _RefusalError(Code.TOKEN_INVALID, "the token is signed with an unknown key")
        try:
            claims = json.loads(key.payload_of(token))
            if not isinstance(claims, dict):
                raise _RefusalError(Code.TOKEN_INVALID, "the token's content is not a set of claims")
            self._rules.validate(claims)
        except ExpiredTokenError:
            raise _RefusalError(Code.TOKEN_EXPIRED, "the token has expired") from None
        except (JoseError, ValueError, RecursionError) as error:
            # The error's name names a check; its text may repeat what the token says.
            detail = f"the token was refused: {type(error).__name__}"
            raise _RefusalError(Code.TOKEN_INVALID, detail) from None
        return claims


class _RefusalError(Exception):
    """Carries a refusal up to `verify`, where it becomes a value."""

    def __init__(self, code: Code, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, detail, retry_after_s)


class _Verdicts:
    """The latest acceptances by digest, least recently used out first. One past its time is never served."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._entries: OrderedDict[bytes, tuple[Principal, datetime]] = OrderedDict()

    def get(self, digest: bytes, now: datetime) -> Principal | None:
        entry = self._entries.get(digest)
        if entry is None:
            return None
        principal, until = entry
        if now >= until:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return principal

    def put(self, digest: bytes, principal: Principal, until: datetime) -> None:
        self._entries[digest] = (principal, until)
        self._entries.move_to_end(digest)
        while len(self._entries) > self._size_max:
            self._entries.popitem(last=False)


def _bearer(authorization_header: str | None) -> str:
    if not authorization_header or not authorization_header.strip():
        raise _RefusalError(Code.TOKEN_MISSING, "send Authorization: Bearer <token>")
    scheme, _, token = authorization_header.strip().partition(" ")
    token = token.strip()
    well_formed = token.isascii() and token.count(".") == 2 and " " not in token
    if scheme.lower() != "bearer" or not well_formed or len(token) > _TOKEN_CHARS_MAX:
        raise _RefusalError(Code.TOKEN_MALFORMED, "the Authorization header is not a bearer JWT")
    return token


def _kid(token: str) -> str:
    """The key's name in the token's header. Nothing else of the header is believed.

    All tokens of one key have the same header, byte by byte, so it is read once and not once per token.
    """
    return _kid_of(token.partition(".")[0])


@lru_cache(maxsize=256)
def _kid_of(header_segment: str) -> str:
    try:
        header = unverified_header(header_segment)
    except (JoseError, ValueError, RecursionError):
        raise _RefusalError(Code.TOKEN_MALFORMED, "the token's header cannot be read") from None
    if str(header.get("typ")).lower() not in _TYPES:
        raise _RefusalError(Code.TOKEN_INVALID, "the token is of another type than an access token")
    if "crit" in header:
        raise _RefusalError(Code.TOKEN_INVALID, "the token asks for an extension that is not supported")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise _RefusalError(Code.TOKEN_INVALID, "the token does not say which key signed it")
    return kid


def _instant(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise _RefusalError(Code.TOKEN_INVALID, "the token expires at no instant we know") from None


def _principal(claims: Mapping[str, Any]) -> Principal:
    subject = claims["sub"]
    if not subject or len(subject) > _SUBJECT_CHARS_MAX or not subject.isprintable():
        raise _RefusalError(Code.TOKEN_INVALID, "the claim sub is not a customer id")
    # An address that the Auth service says is not proven gets no mail.
    email = None if claims.get("email_verified") is False else _text(claims.get("email"))
    return Principal(
        customer_id=subject,
        scopes=_scopes(claims),
        email=email,
        locale=_text(claims.get("locale")),
        time_zone=_zone(claims.get("zoneinfo")),
    )


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """RFC 8693 `scope` is one string, other issuers send a list `scp`; both count."""
    scope, listed = claims.get("scope"), claims.get("scp")
    words = scope.split() if isinstance(scope, str) else []
    words += [word for word in listed if isinstance(word, str)] if isinstance(listed, list) else []
    return frozenset(words)


def _text(claim: object) -> str | None:
    return claim if isinstance(claim, str) and claim.isprintable() and claim else None


def _zone(claim: object) -> str | None:
    """A zone we do not know would break every renewal: better none, which counts in UTC."""
    return claim if isinstance(claim, str) and claim in _zones() else None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
