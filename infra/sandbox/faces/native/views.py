"""Payments, refunds and methods as JSON: in answers, in lists, in webhooks."""

from __future__ import annotations

import json
from typing import Any

from infra.sandbox.engine.cards import by_slug, message
from infra.sandbox.engine.clock import iso
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, one
from infra.sandbox.engine.payments import OPEN


def payment_view(at: Moment, payment: Row) -> dict[str, Any]:
    asked = json.loads(payment["request"])
    is_checkout = payment["flow"] == "checkout"
    is_open = is_checkout and payment["status"] in OPEN
    return {
        "object": "payment",
        "id": payment["id"],
        "flow": payment["flow"],
        "status": payment["status"],
        "amount_minor": payment["amount_minor"],
        "currency": payment["currency"],
        "captured_minor": payment["captured_minor"],
        "refunded_minor": payment["refunded_minor"],
        "description": asked["description"],
        "metadata": asked["metadata"],
        "checkout_url": f"{at.config.public_url}/pay/{payment['id']}" if is_open else None,
        "expires_at": iso(payment["expires_at"]),
        "method": _method_of(at, payment),
        "decline": _decline(payment),
        "created_at": iso(payment["created_at"]),
        "livemode": False,
    }


def refund_view(at: Moment, refund: Row) -> dict[str, Any]:
    payment = one(at.tx, "SELECT their_payment, their_order FROM payments WHERE id = ?", refund["payment"])
    assert payment is not None
    asked = json.loads(refund["request"])
    return {
        "object": "refund",
        "id": refund["id"],
        "payment": refund["payment"],
        "status": refund["status"],
        "amount_minor": refund["amount_minor"],
        "currency": refund["currency"],
        "reason": asked["reason"],
        "failure_reason": refund["failure_reason"],
        "metadata": asked["metadata"],
        "payment_metadata": {"payment_id": payment["their_payment"], "order_id": payment["their_order"]},
        "created_at": iso(refund["created_at"]),
    }


def method_view(method: Row) -> dict[str, Any]:
    card = by_slug(method["card"])
    return {
        "object": "method",
        "id": method["id"],
        "customer_id": method["customer_id"],
        "brand": card.brand,
        "last4": card.last4,
        "expires": method["expires"],
        "fingerprint": card.fingerprint,
        "deleted": method["deleted_at"] is not None,
    }


def _method_of(at: Moment, payment: Row) -> dict[str, Any] | None:
    if payment["method_id"] is None:
        return None
    method = one(at.tx, "SELECT * FROM methods WHERE id = ?", payment["method_id"])
    return None if method is None else method_view(method)


def _decline(payment: Row) -> dict[str, str] | None:
    code = payment["decline_code"]
    if payment["status"] != "declined" or code is None:
        return None
    return {"code": code, "message": message(code)}
