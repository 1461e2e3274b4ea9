"""How a door verifies the sender of an event: by a signature with our own secret, or by a token of a trusted issuer.

The signature follows Standard Webhooks and covers the CloudEvent as sent: its attributes (`ce-*` headers), its content type
and its body. So a signed body cannot be replayed as an event of another type, subject or id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

import httpx
from joserfc.errors import JoseError
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from shared_lib.domain.errors import Transient
from shared_lib.ids import new_id
from shared_lib.jwks import Jwks, unverified_header
from shared_lib.runtime import Runtime
from shared_lib.settings import Settings
from shared_lib.standard_webhook import NotAuthentic, claimed_id, decoded_secret, signature, verified_id

Headers = Iterable[tuple[bytes, bytes]]

LEEWAY: Final = timedelta(seconds=30)
TOKEN_CHARS_MAX: Final = 8 * 1024


def covered(headers: Headers, body: bytes) -> bytes:
    """The signed bytes: attributes and content type, one per line and sorted; an empty line; the body."""
    lines = sorted(
        b"%s:%s" % (name, value)
        for name, value in ((name.lower(), value) for name, value in headers)
        if name.startswith(b"ce-") or name == b"content-type"
    )
    return b"\n".join([*lines, b"", b""]) + body


class EventSigner:
    """Signs events for the doors. A signature is valid for five minutes, so each attempt is signed separately."""

    def __init__(self, secrets: Sequence[str], now: Callable[[], datetime]) -> None:
        """Raises ValueError without a secret: no door would accept this process's events."""
        if not secrets:
            raise ValueError(
                "BOXOFFICE_EVENT_SECRETS is not set: no door would accept an event of this process"
            )
        self._key, self._now = decoded_secret(secrets[0]), now

    def pairs(self, headers: Headers, body: bytes, event_id: str) -> list[tuple[bytes, bytes]]:
        """The headers of the signature."""
        proof = signature(quote(event_id, safe=""), self._now(), covered(headers, body), self._key)
        return [(name.encode(), value.encode()) for name, value in proof.items()]

    def signed(self, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers of a CloudEvent with those of its signature."""
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        proof = self.pairs(raw, body, headers.get("ce-id") or new_id("msg"))
        return {**headers, **{name.decode(): value.decode() for name, value in proof}}


def signer_of(settings: Settings, now: Callable[[], datetime]) -> EventSigner:
    return EventSigner([secret.get_secret_value() for secret in settings.event_secrets], now)


def event_signer(rt: Runtime) -> EventSigner:
    """The signer this process keeps. Raises ValueError without a secret."""
    return rt.keep("event signer", lambda: signer_of(rt.settings, rt.now))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventGuard:
    """Verifies senders: by signatures with these keys, by tokens of these senders. With neither, it accepts no event."""

    keys: Sequence[bytes]
    tokens: SenderTokens | None
    now: Callable[[], datetime]

    @property
    def accepts_nothing(self) -> bool:
        return not self.keys and self.tokens is None

    async def sender(self, headers: Mapping[str, str]) -> str | None:
        """The sender, if a token proves it; None when the signature of the body must. Called before the body is read.

        Raises NotAuthentic when neither is there or the token is invalid.
        """
        try:
            if self.tokens and "authorization" in headers:
                return await self.tokens.sender(headers["authorization"])
        except NotAuthentic:
            if "webhook-signature" not in headers:
                raise
        if not self.keys or "webhook-signature" not in headers:
            raise NotAuthentic("no_proof")
        claimed_id(headers, self.now())
        return None

    def verify(self, headers: Mapping[str, str], raw: Headers, body: bytes) -> None:
        """Raises NotAuthentic unless the event was signed by one of our own processes."""
        verified_id(headers, covered(raw, body), self.keys, self.now())


class SenderTokens:
    """Bearer tokens as Knative's OIDC sends them: of one issuer, for our audience, from an allowed subject.

    The audience alone proves nothing: in a cluster every service account can get a token for any audience.
    """

    def __init__(
        self, jwks: Jwks, *, issuer: str, audience: str, subjects: Sequence[str], now: Callable[[], datetime]
    ) -> None:
        self._jwks, self._issuer, self._audience, self._now = jwks, issuer, audience, now
        self._subjects = frozenset(subjects)

    async def warm_up(self) -> None:
        """Fetch the keys before the first event needs them. An outage is not an error here."""
        await self._jwks.refresh()

    async def sender(self, authorization: str) -> str:
        """The sending subject. Raises NotAuthentic, or Transient while the keys cannot be fetched."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or len(token) > TOKEN_CHARS_MAX or token.count(".") != 2:
            raise NotAuthentic("token_malformed")
        key = await self._jwks.key(_kid(token))
        if not self._jwks.trusted:
            raise Transient("the keys of the events' issuer cannot be fetched")
        if key is None:
            raise NotAuthentic("token_key_unknown")
        try:
            claims = _Claims.model_validate_json(key.payload_of(token))
        except (JoseError, ValidationError):
            raise NotAuthentic("token_invalid") from None
        self._check(claims)
        return claims.sub

    def _check(self, claims: _Claims) -> None:
        now, leeway_s = self._now().timestamp(), LEEWAY.total_seconds()
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != self._issuer:
            raise NotAuthentic("token_of_another_issuer")
        if self._audience not in audiences:
            raise NotAuthentic("token_for_another_audience")
        if claims.sub not in self._subjects:
            raise NotAuthentic("token_of_another_sender")
        if now >= claims.exp + leeway_s:
            raise NotAuthentic("token_expired")
        if max(claims.iat, claims.nbf) > now + leeway_s:
            raise NotAuthentic("token_not_valid_yet")


class _Claims(BaseModel):
    """The claims we read. A service account's token has no `typ`; its issuer distinguishes it from a customer's."""

    model_config = ConfigDict(strict=True)

    iss: str
    aud: str | list[str]
    sub: str
    exp: FiniteFloat
    iat: FiniteFloat = 0.0
    nbf: FiniteFloat = 0.0


def _kid(token: str) -> str:
    try:
        header = unverified_header(token.partition(".")[0])
    except (JoseError, ValueError, RecursionError):
        raise NotAuthentic("token_malformed") from None
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid or "crit" in header:
        raise NotAuthentic("token_malformed")
    return kid


def event_guard(rt: Runtime) -> EventGuard:
    """The guard this instance keeps. Raises ValueError for a malformed secret."""
    return rt.keep("event guard", lambda: _guard(rt.settings, rt.http, rt.now))


def _guard(settings: Settings, http: httpx.AsyncClient, now: Callable[[], datetime]) -> EventGuard:
    tokens = None
    if settings.event_oidc_issuer:
        tokens = SenderTokens(
            Jwks(http, settings.event_oidc_jwks_url, now=now),
            issuer=settings.event_oidc_issuer,
            audience=settings.event_oidc_audience,
            subjects=settings.event_oidc_subjects,
            now=now,
        )
    keys = [decoded_secret(secret.get_secret_value()) for secret in settings.event_secrets]
    return EventGuard(keys=keys, tokens=tokens, now=now)
