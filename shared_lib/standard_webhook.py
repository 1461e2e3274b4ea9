"""The Standard Webhooks scheme: HMAC-SHA256 of `id.timestamp.body`. One secret signs, several are accepted."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

TOLERANCE = timedelta(seconds=300)
_SECRET_BYTES = range(24, 65)


class NotAuthentic(Exception):  # noqa: N818  # it is a finding, not a fault
    """Why, in a word that may be logged. Never a signature, never a secret."""


def decoded_secret(secret: str) -> bytes:
    """The key of a `whsec_...` secret. Raises ValueError without repeating the secret."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in _SECRET_BYTES:
        raise ValueError("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


def signature(id_: str, at: datetime, body: bytes, key: bytes) -> dict[str, str]:
    """The three headers that prove a message to `verified_id`."""
    stamp = int(at.timestamp())
    mac = _mac(f"{id_}.{stamp}.".encode() + body, key).decode()
    return {"webhook-id": id_, "webhook-timestamp": str(stamp), "webhook-signature": f"v1,{mac}"}


def claimed_id(headers: Mapping[str, str], received_at: datetime) -> str:
    """The id of a message that claims to be signed and fresh; its body is not looked at. Raises NotAuthentic."""
    id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id_ or not stamp:
        raise NotAuthentic("missing_headers")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 11):
        raise NotAuthentic("bad_timestamp")
    # Both ways: a signature from the future would stay good for as long as its author likes.
    if abs(received_at - datetime.fromtimestamp(int(stamp), UTC)) > TOLERANCE:
        raise NotAuthentic("stale_timestamp")
    return id_


def verified_id(headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], received_at: datetime) -> str:
    """The message id, once the bytes are proved fresh and signed with one of the keys. Raises NotAuthentic.

    Header names are lower-case. While a secret is being rolled both sides may hold two: any match will do.
    """
    id_ = claimed_id(headers, received_at)
    message = f"{id_}.{headers['webhook-timestamp']}.".encode() + body
    if not _signed(headers.get("webhook-signature", ""), message, keys):
        raise NotAuthentic("bad_signature")
    return id_


def _mac(message: bytes, key: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest())


def _signed(header: str, message: bytes, keys: Sequence[bytes]) -> bool:
    """Every pair is compared, and in constant time: how long it takes tells nothing."""
    given = [
        value.encode()
        for version, _, value in (it.partition(",") for it in header.split(" "))
        if version == "v1"
    ]
    right = [_mac(message, key) for key in keys]
    return any([hmac.compare_digest(one, other) for one in given for other in right])  # noqa: C419
