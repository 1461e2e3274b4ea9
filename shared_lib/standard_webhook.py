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
    """The message is not authentic. The text is a code that may be logged; it contains no signature and no secret."""


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
    """The three headers with which `verified_id` verifies a message."""
    stamp = int(at.timestamp())
    mac = _mac(f"{id_}.{stamp}.".encode() + body, key).decode()
    return {"webhook-id": id_, "webhook-timestamp": str(stamp), "webhook-signature": f"v1,{mac}"}


def claimed_id(headers: Mapping[str, str], received_at: datetime) -> str:
    """The id of a message that claims to be signed and recent; the body is not checked. Raises NotAuthentic."""
    id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id_ or not stamp:
        raise NotAuthentic("missing_headers")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 11):
        raise NotAuthentic("bad_timestamp")
    # In both directions: a timestamp in the future would keep a signature valid for as long as its author wants.
    if abs(received_at - datetime.fromtimestamp(int(stamp), UTC)) > TOLERANCE:
        raise NotAuthentic("stale_timestamp")
    return id_


def verified_id(headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], received_at: datetime) -> str:
    """The id of a message that is recent and signed with one of the keys. Raises NotAuthentic.

    Header names are lower-case. During a rotation both sides may have two secrets: one match is enough.
    """
    id_ = claimed_id(headers, received_at)
    message = f"{id_}.{headers['webhook-timestamp']}.".encode() + body
    if not _signed(headers.get("webhook-signature", ""), message, keys):
        raise NotAuthentic("bad_signature")
    return id_


def _mac(message: bytes, key: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest())


def _signed(header: str, message: bytes, keys: Sequence[bytes]) -> bool:
    """Compares every pair in constant time, so that the duration reveals nothing."""
    given = [
        value.encode()
        for version, _, value in (it.partition(",") for it in header.split(" "))
        if version == "v1"
    ]
    right = [_mac(message, key) for key in keys]
    return any([hmac.compare_digest(one, other) for one in given for other in right])  # noqa: C419
