"""Webhooks on the wire: events with their object, signed with HMAC-SHA256 over the time and the exact bytes."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from typing import Any

from infra.sandbox.engine.cards import Does, RefundEnding, by_slug
from infra.sandbox.engine.clock import SECOND_US
from infra.sandbox.engine.core import Change, Event, Moment, new_id
from infra.sandbox.engine.database import Row, one
from infra.sandbox.faces.stripe.parts import method_view
from infra.sandbox.faces.stripe.views import (
    charge_view,
    has_intent,
    intent_view,
    refund_view,
    session_view,
)

API_VERSION = "2026-10-28.endive"

Described = tuple[str, dict[str, Any]]
"""An event's type and its object."""


class StripeWebhooks:
    """The WebhookFormat of this face."""

    def events(self, at: Moment, change: Change, row: Row) -> Sequence[Event]:
        return [_event(at, type_, view) for type_, view in _described(at, change, row)]

    def headers(self, secret: str, event_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:  # noqa: ARG002
        return {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": f"t={timestamp_s},v1={sign(secret, timestamp_s, body)}",
        }


def sign(secret: str, timestamp_s: int, body: bytes) -> str:
    """The hexadecimal signature, with the whole text of the secret as the key."""
    return hmac.new(secret.encode(), f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()


def _event(at: Moment, type_: str, view: dict[str, Any]) -> Event:
    id_ = new_id("evt")
    body = {
        "id": id_,
        "object": "event",
        "api_version": API_VERSION,
        "created": at.now // SECOND_US,
        "data": {"object": view},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type_,
    }
    return Event(id_, type_, json.dumps(body, separators=(",", ":")))


def _described(at: Moment, change: Change, row: Row) -> Iterator[Described]:
    match change:
        case Change.PAYMENT:
            yield from _of_payment(at, row)
        case Change.REFUND:
            yield from _of_refund(at, row)
        case Change.METHOD_UPDATED:
            yield "payment_method.automatically_updated", method_view(row)
        case Change.METHOD_DELETED:
            yield "payment_method.detached", method_view(row)


def _of_payment(at: Moment, row: Row) -> Iterator[Described]:
    if has_intent(row) and (type_ := _intent_type(row)):
        yield f"payment_intent.{type_}", intent_view(at, row, {})
    if row["flow"] == "checkout" and (type_ := _session_type(row)):
        yield f"checkout.session.{type_}", session_view(at, row, {})


def _intent_type(row: Row) -> str | None:
    if row["processing_until"] is not None:
        return "processing"
    types = {
        "succeeded": "succeeded",
        "declined": "payment_failed",
        "action_required": "requires_action",
        "canceled": "canceled",
        "expired": "canceled",
    }
    if row["status"] == "pending" and row["decline_code"]:
        return "payment_failed"
    return types.get(row["status"])


def _session_type(row: Row) -> str | None:
    """A page is completed once; a bank that answers later is reported by an event of its own."""
    if row["processing_until"] is not None:
        return "completed"
    waited = row["card"] is not None and any(it.does is Does.PROCESS for it in by_slug(row["card"]).page)
    types = {
        "succeeded": "async_payment_succeeded" if waited else "completed",
        "declined": "async_payment_failed",
        "canceled": "expired",
        "expired": "expired",
    }
    return types.get(row["status"])


def _of_refund(at: Moment, row: Row) -> Iterator[Described]:
    paid = one(at.tx, "SELECT * FROM payments WHERE id = ?", row["payment"])
    assert paid is not None
    if row["status"] == "failed":
        yield "refund.failed", refund_view(at, row, {})
        return
    waited = by_slug(paid["card"]).refund is RefundEnding.PENDS
    yield "refund.updated" if waited else "refund.created", refund_view(at, row, {})
    yield "charge.refunded", charge_view(at, paid, {})
