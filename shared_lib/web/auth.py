"""Authentication: a bearer token of the Auth service becomes a Principal, or a Refusal with a stable code.

Rules of RFC 8725: the key determines the algorithm, never the token; `kid` only looks up a key; the headers `jku`, `x5u` and
`jwk` are not read; the type must be that of an access token; expiry, issuer, audience and subject are required. Tokens are
never logged.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Final

import httpx
from joserfc.errors import JoseError

from shared_lib.contract.routes import Scope
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.values import Value
from shared_lib.domain.written import language_tag, mailable
from shared_lib.jwks import REFRESH_INTERVAL_MIN, TRUSTED_FOR, Jwks, unverified_header
from shared_lib.web.claims import Claims, WrongClaimsError, claims_in

CUSTOMER: Final = Scope.CUSTOMER
OPERATOR: Final = Scope.OPERATOR

LEEWAY = timedelta(seconds=30)
VERDICT_TTL = timedelta(seconds=60)  # how long a token of a withdrawn key may still be accepted
VERDICTS_MAX = 10_000
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_TOKEN_CHARS_MAX = 8 * 1024
ACCESS_TOKEN_TYPES = ("at+jwt",)  # RFC 9068
_RETRY_AFTER_S = 5


class Principal(Value, kw_only=True):
    """The customer or operator behind a request. `email` and `locale` are None when the token has none."""

    customer_id: str
    scopes: frozenset[str]
    email: str | None = None
    locale: str | None = None
    time_zone: str | None = None  # OpenID's `zoneinfo`, an IANA name
    client_id: str | None = None  # the application the customer uses: RFC 9068's `client_id`, or `azp`

    @property
    def is_operator(self) -> bool:
        return OPERATOR in self.scopes

    def lacks(self, scope: str) -> Refusal | None:
        """A refusal when the token was not issued for the scope, else None."""
        if scope in self.scopes:
            return None
        return Refusal(Code.SCOPE_MISSING, f"The token lacks the scope {scope}.")


class TokenVerifier:
    """Verifies bearer tokens against the Auth service's key set; caches accepted tokens for a minute.

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
        trusted_for: timedelta = TRUSTED_FOR,
        types: Sequence[str] = ACCESS_TOKEN_TYPES,
        verdicts_max: int = VERDICTS_MAX,
    ) -> None:
        if not issuer or not audience:
            raise ValueError("an empty issuer or audience would accept every token")
        self._jwks = Jwks(
            http, jwks_url, now=now, refresh_interval_min=refresh_interval_min, trusted_for=trusted_for
        )
        self._types = frozenset(name.lower().removeprefix("application/") for name in types)
        self._issuer, self._audience, self._now = issuer, audience, now
        self._verdicts = _Verdicts(verdicts_max)

    async def verify(self, authorization_header: str | None) -> Principal | Refusal:
        """The caller, or a refusal: AUTH_UNAVAILABLE is our fault (503), the other codes are the caller's (401)."""
        try:
            token = _bearer(authorization_header)
            digest = hashlib.sha256(token.encode()).digest()
            if known := self._verdicts.get(digest, self._now()):
                return known
            claims = await self._claims(token)
            now = self._now()
            principal, expires_at = _principal(claims), _check_times(claims, now)
        except _RefusalError as refused:
            return refused.refusal
        # Only accepted tokens are cached: invalid ones could otherwise evict them.
        self._verdicts.put(digest, principal, until=min(expires_at, now + VERDICT_TTL))
        return principal

    async def warm_up(self) -> None:
        """Fetch the keys before the first request needs them. An outage is not an error here."""
        await self._jwks.refresh()

    async def _claims(self, token: str) -> Claims:
        kid = _kid(token, self._types)
        key = await self._jwks.key(kid)
        if not self._jwks.trusted:
            detail = "The keys of the Auth service cannot be fetched."
            raise _RefusalError(Code.AUTH_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S)
        if key is None:
            raise _RefusalError(Code.TOKEN_INVALID, "The token is signed with an unknown key.")
        try:
            claims = claims_in(key.payload_of(token))
        except JoseError as error:
            # The error's type names the failed check; its text may repeat contents of the token.
            detail = f"The token did not pass a check: {type(error).__name__}."
            raise _RefusalError(Code.TOKEN_INVALID, detail) from None
        except WrongClaimsError as wrong:
            raise _RefusalError(Code.TOKEN_INVALID, f"Missing or malformed claims: {wrong}.") from None
        if claims.iss != self._issuer:
            raise _RefusalError(Code.TOKEN_INVALID, "The token is from another issuer.")
        if self._audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise _RefusalError(Code.TOKEN_INVALID, "The token is for another audience.")
        if claims.is_of_another_kind:
            raise _RefusalError(Code.TOKEN_INVALID, "The token is not an access token.")
        return claims


class _RefusalError(Exception):
    """Carries a refusal up to `verify`, where it becomes a value."""

    def __init__(self, code: Code, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, detail, retry_after_s)


class _Verdicts:
    """Accepted tokens by digest, an LRU cache. An expired entry is never served."""

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
    """The token (RFC 6750; the scheme in any case, RFC 7235). nginx.conf has the same grammar, because it limits rates by it."""
    value = (authorization_header or "").strip(" \t")
    if not value:
        raise _RefusalError(Code.TOKEN_MISSING, "Send the header Authorization: Bearer <token>.")
    scheme, token = value[:7], value[7:]
    if scheme.lower() != "bearer " or len(token) > _TOKEN_CHARS_MAX or not _JWT.fullmatch(token):
        raise _RefusalError(Code.TOKEN_MALFORMED, "The Authorization header does not hold a bearer JWT.")
    return token


def _kid(token: str, types: frozenset[str]) -> str:
    """The key's id in the token's header; nothing else of the header is trusted.

    All tokens of one key have the same header, byte by byte, so it is parsed once and cached.
    """
    return _kid_of(token.partition(".")[0], types)


@lru_cache(maxsize=256)
def _kid_of(header_segment: str, types: frozenset[str]) -> str:
    try:
        header = unverified_header(header_segment)
    except (JoseError, ValueError, RecursionError):
        raise _RefusalError(Code.TOKEN_MALFORMED, "The header of the token cannot be decoded.") from None
    typ = header.get("typ")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in types:
        raise _RefusalError(Code.TOKEN_INVALID, "The token is not an access token.")
    if "crit" in header:
        raise _RefusalError(Code.TOKEN_INVALID, "The token requires an extension that is not supported.")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise _RefusalError(Code.TOKEN_INVALID, "The header of the token has no kid.")
    return kid


def _check_times(claims: Claims, now: datetime) -> datetime:
    """The instant of expiry, if the token is valid at `now` give or take the leeway."""
    try:
        expires_at = datetime.fromtimestamp(claims.exp, UTC)
    except (OverflowError, ValueError, OSError):
        raise _RefusalError(Code.TOKEN_INVALID, "The claim exp is not a date.") from None
    if now >= expires_at + LEEWAY:
        raise _RefusalError(Code.TOKEN_EXPIRED, "The token has expired.")
    if max(claims.iat, claims.nbf) > (now + LEEWAY).timestamp():
        raise _RefusalError(Code.TOKEN_INVALID, "The token is not valid yet.")
    return expires_at


def _principal(claims: Claims) -> Principal:
    if not claims.sub.isprintable():
        raise _RefusalError(Code.TOKEN_INVALID, "The claim sub is not a customer id.")
    # No mail goes to an address that the Auth service has not verified, or that no mail could reach.
    email = None if claims.email_verified is False else mailable(_text(claims.email))
    return Principal(
        customer_id=claims.sub,
        scopes=_scopes(claims),
        email=email,
        locale=language_tag(locale) if (locale := _text(claims.locale)) else None,
        time_zone=_zone(claims.zoneinfo),
        client_id=_text(claims.client_id) or _text(claims.azp),
    )


def _scopes(claims: Claims) -> frozenset[str]:
    """RFC 8693 `scope` is one string, other issuers send a list `scp`; both count."""
    words = claims.scope.split() if isinstance(claims.scope, str) else []
    words += [word for word in claims.scp if isinstance(word, str)] if isinstance(claims.scp, list) else []
    return frozenset(words)


def _text(claim: object) -> str | None:
    return claim if isinstance(claim, str) and claim.isprintable() and claim else None


def _zone(claim: object) -> str | None:
    """A known time zone, or None (UTC): an unknown one would fail every renewal."""
    return claim if isinstance(claim, str) and claim in _zones() else None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # The list that tzdata brings: available_timezones() opens each of 600 files, for 20 ms of the first request.
    return frozenset(resources.files("tzdata").joinpath("zones").read_text().split())
