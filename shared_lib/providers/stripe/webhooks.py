"""Stripe's webhooks: the signature over the exact bytes, and what each event says.

`Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>]`; a signature is HMAC-SHA256 over `t.body` with the whole text of the secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from shared_lib.providers.base import EventKind, ProviderEvent, Trust
from shared_lib.providers.reading import Unreadable, mapping, text, text_or_none
from shared_lib.providers.stripe.objects import id_of, intent_payment, method_of, of_a_page, refund_of
from shared_lib.standard_webhook import TOLERANCE, NotAuthentic
from shared_lib.untrusted import UntrustedError, json_of

HEADER: Final = "stripe-signature"
_SECRET_CHARS_MIN: Final = 16
_HEADER_CHARS_MAX: Final = 4096
_STAMP_CHARS_MAX: Final = 11
_ID_CHARS_MAX: Final = 255


class Verifier:
    """Knows the endpoint's secrets, several while one is rolled; shows none of them."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Raises ValueError without repeating a secret."""
        if not all(it.startswith("whsec_") and len(it) >= _SECRET_CHARS_MIN for it in secrets):
            raise ValueError("a webhook secret of Stripe begins with whsec_")
        self.__keys = tuple(secret.encode() for secret in secrets)

    def __repr__(self) -> str:
        return f"Verifier({len(self.__keys)} secrets)"

    def check(self, header: str, body: bytes, received_at: datetime) -> None:
        """Whether one of the secrets signed exactly these bytes, now. Raises NotAuthentic."""
        stamp, given = _parsed(header)
        # In both directions: a timestamp in the future would keep a signature valid for as long as its author wants.
        if abs(received_at - datetime.fromtimestamp(stamp, UTC)) > TOLERANCE:
            raise NotAuthentic("stale_timestamp")
        message = f"{stamp}.".encode() + body
        right = [hmac.new(key, message, hashlib.sha256).hexdigest().encode() for key in self.__keys]
        if not any([hmac.compare_digest(one, other) for one in given for other in right]):  # noqa: C419  # all of them
            raise NotAuthentic("bad_signature")


def _parsed(header: str) -> tuple[int, list[bytes]]:
    """The first timestamp and every v1 signature; other schemes are not ours to trust."""
    if not header or len(header) > _HEADER_CHARS_MAX:
        raise NotAuthentic("missing_headers")
    parts = [part.partition("=") for part in header.split(",")]
    if any(name in ("t", "v1") and not equals for name, equals, _ in parts):
        raise NotAuthentic("bad_header")  # Stripe's own library reads no such header either
    stamp = next((value for name, _, value in parts if name == "t"), "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _STAMP_CHARS_MAX):
        raise NotAuthentic("bad_timestamp")
    return int(stamp), [value.encode() for name, _, value in parts if name == "v1"]


def event_of(body: bytes) -> ProviderEvent:
    """The event of a verified webhook. Raises Unreadable.

    A session says too little (no card, no money received), so it is a hint. What does not carry our ids is another
    application's on the same account: IGNORED, as is every type that we have no use for.
    """
    try:
        it = mapping(json_of(body))
    except UntrustedError as error:
        raise Unreadable(str(error)) from None
    id_, type_ = text(it, "id", chars_max=_ID_CHARS_MAX), text(it, "type")
    about = mapping(mapping(it.get("data")).get("object"))
    return ProviderEvent(**{"object_id": "", **_read(type_, about)}, dedup_id=id_, occurred_at=_moment(it))


def _read(type_: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the event that depend on its type."""
    match type_.split("."):
        case ["checkout", "session", _] if _is_ours(about):
            return {"kind": EventKind.PAYMENT, "trust": Trust.HINT, "object_id": text(about, "id")}
        case ["payment_intent", _] if _is_ours(about) and not of_a_page(about):
            payment = intent_payment(about)
            return _signed(EventKind.PAYMENT, about) | {"payment": payment}
        case ["refund", _] | ["charge", "refund", _] if paid := _payment_of(about):
            return _signed(EventKind.REFUND, about) | {"refund": refund_of(about, paid)}
        # Refunds made in the dashboard carry no id of ours, but their charge does: what was given back is fetched.
        case ["charge", "refunded"] if _is_ours(about) and (intent := id_of(about.get("payment_intent"))):
            return {"kind": EventKind.PAYMENT, "trust": Trust.HINT, "object_id": intent}
        case ["charge", "dispute", _]:
            return _signed(EventKind.DISPUTE, about)
        case ["payment_method", "detached"]:
            return _signed(EventKind.METHOD, about) | {"method_gone": True}
        case ["payment_method", "automatically_updated" | "updated"]:
            return _signed(EventKind.METHOD, about) | {"method": method_of(about)}
        case _:
            return {"kind": EventKind.IGNORED, "trust": Trust.SIGNED}


def _signed(kind: EventKind, about: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "trust": Trust.SIGNED, "object_id": text(about, "id")}


def _is_ours(about: Mapping[str, Any]) -> bool:
    return text_or_none(mapping(about.get("metadata")), "payment_id") is not None


def _payment_of(refund: Mapping[str, Any]) -> str | None:
    """Stripe's id of the payment that a refund of ours returns: we write it into the refund."""
    return text_or_none(mapping(refund.get("metadata")), "payment")


def _moment(it: Mapping[str, Any]) -> datetime | None:
    created = it.get("created")
    if not isinstance(created, int) or isinstance(created, bool) or not 0 <= created < 2**33:
        return None
    return datetime.fromtimestamp(created, UTC)
