"""How a door verifies the sender of an event: by a signature with our own secret, or by a token of a trusted issuer.

The signature follows Standard Webhooks and covers the CloudEvent as sent: its attributes (`ce-*` headers), its content type
and its body. So a signed body cannot be replayed as an event of another type, subject or id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared_lib.domain.values import Value
from shared_lib.ids import new_id
from shared_lib.runtime import Runtime
from shared_lib.settings import Settings
from shared_lib.standard_webhook import NotAuthentic, claimed_id, decoded_secret, signature, verified_id

if TYPE_CHECKING:
    from shared_lib.events.tokens import SenderTokens

Headers = Iterable[tuple[bytes, bytes]]


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


class EventGuard(Value, kw_only=True):
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


def event_guard(rt: Runtime) -> EventGuard:
    """The guard this instance keeps. Raises ValueError for a malformed secret."""
    return rt.keep("event guard", lambda: _guard(rt))


def _guard(rt: Runtime) -> EventGuard:
    settings, tokens = rt.settings, None
    if settings.event_oidc_issuer:
        # Imported here: JWT and cryptography are 8 MiB that only a door with such senders needs.
        from shared_lib.events.tokens import SenderTokens  # noqa: PLC0415
        from shared_lib.jwks import Jwks  # noqa: PLC0415

        tokens = SenderTokens(
            Jwks(rt.http, settings.event_oidc_jwks_url, now=rt.now),
            issuer=settings.event_oidc_issuer,
            audience=settings.event_oidc_audience,
            subjects=settings.event_oidc_subjects,
            now=rt.now,
        )
    keys = [decoded_secret(secret.get_secret_value()) for secret in settings.event_secrets]
    return EventGuard(keys=keys, tokens=tokens, now=rt.now)
