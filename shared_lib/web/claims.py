"""What a token claims, once its signature is verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

_SUBJECT_CHARS_MAX: Final = 255
# An issuer that gives access tokens no type of their own marks its other tokens (OpenID, Keycloak, Cognito).
_OTHER_TYPES = frozenset({"id", "refresh", "offline", "logout"})


class WrongClaimsError(ValueError):
    """Names the claims that are missing or malformed ("all" for a payload that is no object), and nothing they say."""


class Claims(msgspec.Struct):
    """The claims we read (RFC 7519, RFC 9068, OpenID). All others are ignored."""

    iss: str
    aud: str | list[str]
    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=_SUBJECT_CHARS_MAX)]
    exp: float
    iat: float
    nbf: float = 0.0
    scope: object = None
    scp: object = None
    email: object = None
    email_verified: object = None
    locale: object = None
    zoneinfo: object = None
    client_id: object = None
    azp: object = None
    typ: object = None
    token_use: object = None
    nonce: object = None
    at_hash: object = None
    c_hash: object = None

    @property
    def is_of_another_kind(self) -> bool:
        """Whether this is an id token or a refresh token. Neither gives its holder access to this service."""
        if (self.nonce, self.at_hash, self.c_hash) != (None, None, None):
            return True
        return any(
            kind is not None and str(kind).lower() in _OTHER_TYPES for kind in (self.typ, self.token_use)
        )


def claims_in(payload: bytes) -> Claims:
    """Raises WrongClaimsError."""
    try:
        return _READER.decode(payload)
    except _UNREADABLE:
        raise WrongClaimsError(", ".join(_wrong_in(payload)) or "all") from None


_READER: Final = msgspec.json.Decoder(Claims)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _wrong_in(payload: bytes) -> list[str]:
    """The reader names the first wrong claim alone."""
    try:
        sent = msgspec.json.decode(payload, type=dict[str, object])
    except _UNREADABLE:
        return []
    return sorted(claim.name for claim in msgspec.structs.fields(Claims) if not _fits(claim, sent))


def _fits(claim: msgspec.structs.FieldInfo, sent: Mapping[str, object]) -> bool:
    if claim.name not in sent:
        return not claim.required
    try:
        msgspec.convert(sent[claim.name], claim.type)
    except msgspec.ValidationError:
        return False
    return True
