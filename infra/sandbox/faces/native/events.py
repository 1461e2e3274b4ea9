"""Webhooks on the wire: types, bodies, and signatures by the Standard Webhooks scheme."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

from infra.sandbox.engine.clock import iso
from infra.sandbox.engine.core import Change, Event, Moment, new_id
from infra.sandbox.engine.database import Row
from infra.sandbox.faces.native.views import method_view, payment_view, refund_view


class NativeWebhooks:
    """The WebhookFormat of this face."""

    def events(self, at: Moment, change: Change, row: Row) -> Sequence[Event]:
        type_, view = _described(at, change, row)
        body = {"type": type_, "timestamp": iso(at.now), "data": view}
        return [Event(new_id("evt"), type_, json.dumps(body, separators=(",", ":")))]

    def headers(self, secret: str, event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(secret, event_id, timestamp_s, body),
        }


def sign(secret: str, id_: str, timestamp_s: int, body: bytes) -> str:
    """`v1,<base64>`: HMAC-SHA256 of id.timestamp.body with the decoded part of whsec_..."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((id_.encode(), str(timestamp_s).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _described(at: Moment, change: Change, row: Row) -> tuple[str, dict[str, Any]]:
    match change:
        case Change.PAYMENT:
            # A 3-D Secure step concerns the customer alone; the merchant sees a pending payment.
            status = "pending" if row["status"] == "action_required" else row["status"]
            return f"payment.{status}", payment_view(at, row)
        case Change.REFUND:
            return f"refund.{row['status']}", refund_view(at, row)
        case Change.METHOD_UPDATED:
            return "method.updated", method_view(row)
        case Change.METHOD_DELETED:
            return "method.deleted", method_view(row)
