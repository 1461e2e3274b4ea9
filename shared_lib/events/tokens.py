"""How a token of a trusted issuer proves the sender of an event, as on Knative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from joserfc.errors import JoseError
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from shared_lib.domain.errors import Transient
from shared_lib.jwks import Jwks, unverified_header
from shared_lib.standard_webhook import NotAuthentic

LEEWAY: Final = timedelta(seconds=30)
TOKEN_CHARS_MAX: Final = 8 * 1024


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
