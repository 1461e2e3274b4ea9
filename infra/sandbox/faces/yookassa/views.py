"""Payments, refunds and saved methods as YooKassa shows them: in answers, in lists, in notifications."""

from __future__ import annotations

import json
from typing import Any

from infra.sandbox.engine.cards import by_slug
from infra.sandbox.engine.clock import iso
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, one
from infra.sandbox.engine.payments import OPEN, is_open
from infra.sandbox.faces.yookassa.ids import SHOP_ID, shown

# The engine's decline codes; a code that a test scripts may be a reason of YooKassa's own.
_REASONS = {
    "do_not_honor": "general_decline",
    "stolen_card": "payment_method_restricted",
    "expired_card": "card_expired",
    "processing_error": "issuer_unavailable",
    "authentication_required": "3d_secure_failed",
    "method_removed": "permission_revoked",
}
_CARD_TYPES = {"visa": "Visa", "mastercard": "MasterCard"}


def payment_view(at: Moment, payment: Row) -> dict[str, Any]:
    asked, status = json.loads(payment["request"]), payment_status(payment)
    minor = payment["captured_minor"] if status == "succeeded" else payment["amount_minor"]
    captured = "SELECT min(at) AS at FROM entries WHERE payment = ? AND credit = 'merchant:balance'"
    taken = one(at.tx, captured, payment["id"])
    view = {
        "id": shown(payment["id"]),
        "status": status,
        "amount": _amount(minor, payment["currency"]),
        "description": asked["description"],
        "recipient": {"account_id": SHOP_ID, "gateway_id": f"{SHOP_ID}1"},
        "payment_method": _payment_method(at, payment, asked),
        "created_at": instant(payment["created_at"]),
        "captured_at": instant(taken["at"]) if taken and status == "succeeded" else None,
        "expires_at": instant(payment["authorized_until"]),
        "confirmation": _confirmation(at, payment, asked),
        "test": True,
        "refunded_amount": _amount(payment["refunded_minor"], payment["currency"])
        if payment["refunded_minor"]
        else None,
        "paid": status in ("succeeded", "waiting_for_capture"),
        "refundable": status == "succeeded" and payment["refunded_minor"] < payment["captured_minor"],
        "receipt_registration": _registration(asked, status),
        "metadata": asked["metadata"],
        "cancellation_details": _cancellation(payment, status),
        "merchant_customer_id": asked.get("customer_ref"),
    }
    return {name: value for name, value in view.items() if value is not None}


def refund_view(_: Moment, refund: Row) -> dict[str, Any]:
    asked, status = json.loads(refund["request"]), _REFUND_STATUS[refund["status"]]
    failed = {"party": "refund_network", "reason": "general_decline"} if status == "canceled" else None
    view = {
        "id": shown(refund["id"]),
        "payment_id": shown(refund["payment"]),
        "status": status,
        "created_at": instant(refund["created_at"]),
        "amount": _amount(refund["amount_minor"], refund["currency"]),
        "description": asked["reason"],
        "receipt_registration": _registration(asked, status),
        "metadata": asked["metadata"],
        "cancellation_details": failed,
    }
    return {name: value for name, value in view.items() if value is not None}


def binding_view(at: Moment, payment: Row) -> dict[str, Any]:
    """A card that is saved without a payment: the engine has it as a payment of nothing."""
    asked = json.loads(payment["request"])
    status = {"succeeded": "active", "pending": "pending", "action_required": "pending"}
    card = _card(payment["card"], asked.get("card_expires")) if payment["status"] == "succeeded" else None
    view = {
        "type": "bank_card",
        "id": shown(payment["id"]),
        "saved": payment["status"] == "succeeded",
        "status": status.get(payment["status"], "inactive"),
        "holder": {"account_id": SHOP_ID, "gateway_id": f"{SHOP_ID}1"},
        "title": _title(payment["card"]) if card else None,
        "card": card,
        "confirmation": _confirmation(at, payment, asked),
    }
    return {name: value for name, value in view.items() if value is not None}


def receipt_view(row: Row) -> dict[str, Any] | None:
    """The receipt of a payment or refund that has succeeded, if it came with one."""
    receipt = json.loads(row["request"]).get("kept", {}).get("receipt")
    if receipt is None or row["status"] != "succeeded":
        return None
    kind = "payment" if row["id"].startswith("sp_") else "refund"
    items = [{**item, "quantity": float(item["quantity"])} for item in receipt["items"]]
    code = receipt.get("tax_system_code")
    view = {
        "id": f"rt-{shown(row['id'])}",
        "type": kind,
        f"{kind}_id": shown(row["id"]),
        "status": "succeeded",
        "items": items,
    }
    return view | ({"tax_system_code": code} if code else {})


def payment_status(payment: Row) -> str:
    if payment["status"] in OPEN:
        return "pending" if payment["authorized_until"] is None else "waiting_for_capture"
    return "succeeded" if payment["status"] == "succeeded" else "canceled"


def instant(moment_us: int | None) -> str | None:
    """In milliseconds, as YooKassa writes it."""
    text = iso(None if moment_us is None else moment_us // 1000 * 1000)
    if text is None:
        return None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return f"{whole}.{fraction[:3] or '000'}Z"


_REFUND_STATUS = {"pending": "pending", "succeeded": "succeeded", "failed": "canceled"}


def _amount(minor: int, currency: str) -> dict[str, str]:
    return {"value": f"{minor // 100}.{minor % 100:02}", "currency": currency}


def _confirmation(at: Moment, payment: Row, asked: dict[str, Any]) -> dict[str, str] | None:
    if payment["flow"] != "checkout" or not is_open(payment):
        return None
    return {
        "type": "redirect",
        "confirmation_url": f"{at.config.public_url}/pay/{payment['id']}",
        "return_url": asked["return_url"],
    }


def _payment_method(at: Moment, payment: Row, asked: dict[str, Any]) -> dict[str, Any] | None:
    """Known when a card has answered; a method that was saved has the id of the payment that saved it."""
    if payment["card"] is None or payment_status(payment) == "pending":
        return None
    method = one(at.tx, "SELECT * FROM methods WHERE id = ?", payment["method_id"])
    return {
        "type": "bank_card",
        "id": shown(method["id"] if method else payment["id"]),
        "saved": method is not None,
        "status": "active" if method else "inactive",
        "title": _title(payment["card"]),
        "card": _card(payment["card"], method["expires"] if method else asked.get("card_expires")),
    }


def _card(slug: str, expires: str | None) -> dict[str, str]:
    card = by_slug(slug)
    year, _, month = (expires or "2034-12").partition("-")
    return {
        "first6": card.number[:6],
        "last4": card.last4,
        "expiry_year": year,
        "expiry_month": month,
        "card_type": _CARD_TYPES[card.brand],
        "issuer_country": "RU",
    }


def _title(slug: str) -> str:
    return f"Bank card *{by_slug(slug).last4}"


def _registration(asked: dict[str, Any], status: str) -> str | None:
    """This bank registers a receipt when the money moves."""
    if not asked.get("kept", {}).get("receipt"):
        return None
    return status if status in ("succeeded", "canceled") else "pending"


def _cancellation(payment: Row, status: str) -> dict[str, str] | None:
    if status != "canceled":
        return None
    if payment["status"] == "declined":
        code = payment["decline_code"]
        return {"party": "payment_network", "reason": _REASONS.get(code, code)}
    if payment["status"] == "expired":
        return {"party": "yoo_money", "reason": "expired_on_confirmation"}
    if payment["decline_code"] == "not_captured":
        return {"party": "yoo_money", "reason": "expired_on_capture"}
    return {"party": "merchant", "reason": "canceled_by_merchant"}
