"""Notifications on the wire: the event's name and the whole object. No signature, no id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from infra.sandbox.engine.core import Change, Event, Moment, new_id
from infra.sandbox.engine.database import Row
from infra.sandbox.faces.yookassa.views import binding_view, payment_status, payment_view, refund_view


class YooKassaWebhooks:
    """The WebhookFormat of this face."""

    def events(self, at: Moment, change: Change, row: Row) -> Sequence[Event]:
        """Nothing is said of pending payments, failed refunds, and what becomes of saved methods."""
        match change:
            case Change.PAYMENT:
                return _of_payment(at, row)
            case Change.REFUND if row["status"] == "succeeded":
                return _notification("refund.succeeded", refund_view(at, row))
            case _:
                return ()

    def headers(self, secret: str, event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:  # noqa: ARG002  # nothing is signed
        return {"content-type": "application/json"}


def _of_payment(at: Moment, row: Row) -> Sequence[Event]:
    status = payment_status(row)
    if is_binding(row):
        saved = status == "succeeded"
        return _notification("payment_method.active", binding_view(at, row)) if saved else ()
    return () if status == "pending" else _notification(f"payment.{status}", payment_view(at, row))


def is_binding(payment: Row) -> bool:
    """A payment of nothing saves a card; YooKassa has no such payment."""
    return bool(payment["flow"] == "checkout" and payment["amount_minor"] == 0)


def _notification(event: str, view: dict[str, Any]) -> Sequence[Event]:
    """Its id is for the control surface alone."""
    body = {"type": "notification", "event": event, "object": view}
    return [Event(new_id("evt"), event, json.dumps(body, separators=(",", ":")))]
