"""Sessions, intents, charges and refunds as JSON. What is not expanded is its id."""

from __future__ import annotations

import json
from typing import Any

from infra.sandbox.engine.cards import message
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, one
from infra.sandbox.engine.payments import OPEN
from infra.sandbox.faces.stripe.amounts import units_of
from infra.sandbox.faces.stripe.ids import CHARGE, INTENT, REFUND, SESSION, SETUP, TRANSACTION, shown
from infra.sandbox.faces.stripe.parts import (
    BILLING,
    Wanted,
    customer_of,
    expanded,
    method_id_of,
    method_of,
    seconds,
)

# Codes of the engine that are codes of Stripe; the others are decline codes of a card_declined.
_CODES = frozenset({"expired_card", "processing_error", "authentication_required"})


# ---- payments ----------------------------------------------------------------------------------------------


def session_view(at: Moment, row: Row, want: Wanted) -> dict[str, Any]:
    asked = json.loads(row["request"])
    kept, setup = asked["kept"], row["amount_minor"] == 0
    is_open = row["status"] in OPEN and row["processing_until"] is None
    id_, amount = shown(SESSION, row["id"]), units_of(row["amount_minor"], row["currency"])
    return {
        "id": id_,
        "object": "checkout.session",
        "amount_subtotal": None if setup else amount,
        "amount_total": None if setup else amount,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": asked["cancel_url"],
        "client_reference_id": kept["client_reference_id"],
        "created": seconds(row["created_at"]),
        "currency": row["currency"].lower(),
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer": customer_of(at, row),
        "customer_creation": kept["customer_creation"],
        "customer_email": asked["customer_email"],
        "expires_at": seconds(row["expires_at"]),
        "livemode": False,
        "locale": asked["locale"],
        "metadata": asked["metadata"],
        "mode": "setup" if setup else "payment",
        "payment_intent": None
        if setup or not has_intent(row)
        else expanded(want, "payment_intent", shown(INTENT, row["id"]), lambda it: intent_view(at, row, it)),
        "payment_method_types": ["card"],
        "payment_status": _paid(row),
        "setup_intent": expanded(
            want, "setup_intent", shown(SETUP, row["id"]), lambda it: setup_view(at, row, it)
        )
        if setup
        else None,
        "shipping_options": [],
        "status": "open"
        if is_open
        else "expired"
        if row["status"] in ("canceled", "expired")
        else "complete",
        "success_url": asked["return_url"],
        "url": f"{at.config.public_url}/pay/{row['id']}" if is_open else None,
    }


def has_intent(row: Row) -> bool:
    """A session has one as soon as the customer has tried to pay."""
    return row["amount_minor"] > 0 and (row["flow"] == "charge" or row["card"] is not None)


HAS_INTENT = "amount_minor > 0 AND (flow = 'charge' OR card IS NOT NULL)"
"""The same for lists."""


def intent_view(at: Moment, row: Row, want: Wanted) -> dict[str, Any]:
    asked = json.loads(row["request"])
    kept, id_ = asked["kept"], shown(INTENT, row["id"])
    error, status = last_error(at, row), _intent_status(row)
    return {
        "id": id_,
        "object": "payment_intent",
        "amount": units_of(row["amount_minor"], row["currency"]),
        "amount_capturable": 0,
        "amount_received": units_of(row["captured_minor"], row["currency"]),
        "automatic_payment_methods": {"allow_redirects": "never", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id_}_secret_sandbox",
        "confirmation_method": "automatic",
        "created": seconds(row["created_at"]),
        "currency": row["currency"].lower(),
        "customer": customer_of(at, row),
        "description": kept["description"],
        "last_payment_error": error,
        "latest_charge": None
        if status in ("requires_action", "canceled")
        else expanded(want, "latest_charge", shown(CHARGE, row["id"]), lambda it: charge_view(at, row, it)),
        "livemode": False,
        "metadata": kept["intent_metadata"],
        "next_action": None,
        "payment_method": None
        if error
        else expanded(want, "payment_method", method_id_of(row), lambda _: method_of(at, row)),
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": "off_session" if asked.get("save_method") else None,
        "shipping": None,
        "statement_descriptor": None,
        "status": status,
    }


def setup_view(at: Moment, row: Row, want: Wanted) -> dict[str, Any]:
    asked, done = json.loads(row["request"]), row["status"] == "succeeded"
    return {
        "id": shown(SETUP, row["id"]),
        "object": "setup_intent",
        "automatic_payment_methods": None,
        "client_secret": f"{shown(SETUP, row['id'])}_secret_sandbox",
        "created": seconds(row["created_at"]),
        "customer": customer_of(at, row),
        "description": None,
        "last_setup_error": None,
        "livemode": False,
        "metadata": asked["kept"]["intent_metadata"],
        "payment_method": expanded(want, "payment_method", method_id_of(row), lambda _: method_of(at, row))
        if done
        else None,
        "payment_method_types": ["card"],
        "status": "succeeded" if done else "requires_payment_method",
        "usage": "off_session",
    }


def charge_view(at: Moment, row: Row, want: Wanted) -> dict[str, Any]:
    currency, kept = row["currency"], json.loads(row["request"])["kept"]
    succeeded, error = row["captured_minor"] > 0, last_error(at, row)
    status = "succeeded" if succeeded else "failed" if error else "pending"
    return {
        "id": shown(CHARGE, row["id"]),
        "object": "charge",
        "amount": units_of(row["amount_minor"], currency),
        "amount_captured": units_of(row["captured_minor"], currency),
        "amount_refunded": units_of(row["refunded_minor"], currency),
        "balance_transaction": shown(TRANSACTION, row["id"]) if succeeded else None,
        "billing_details": BILLING,
        "captured": succeeded,
        "created": seconds(row["created_at"]),
        "currency": currency.lower(),
        "customer": customer_of(at, row),
        "description": kept["description"],
        "disputed": False,
        "failure_code": error["code"] if error else None,
        "failure_message": error["message"] if error else None,
        "livemode": False,
        "metadata": kept["intent_metadata"],
        "outcome": None,
        "paid": succeeded,
        "payment_intent": expanded(
            want, "payment_intent", shown(INTENT, row["id"]), lambda it: intent_view(at, row, it)
        ),
        "payment_method": method_id_of(row),
        "payment_method_details": None,
        "receipt_url": None,
        "refunded": 0 < row["captured_minor"] == row["refunded_minor"],
        "status": status,
    }


def last_error(at: Moment, row: Row) -> dict[str, Any] | None:
    """Why the last try failed, as `last_payment_error` and in the error of a 402."""
    code = row["decline_code"]
    if code is None or row["status"] not in (*OPEN, "declined"):
        return None
    if code == "authentication_failed":
        code = "payment_intent_authentication_failure"
    plain = code in _CODES or code == "payment_intent_authentication_failure"
    error = {
        "type": "card_error",
        "code": code if plain else "card_declined",
        "message": message(row["decline_code"]),
        "charge": shown(CHARGE, row["id"]),
        "payment_method": method_of(at, row),
    }
    return error if code == "payment_intent_authentication_failure" else error | {"decline_code": code}


def _paid(row: Row) -> str:
    if row["status"] != "succeeded":
        return "unpaid" if row["amount_minor"] else "no_payment_required"
    return "paid" if row["amount_minor"] else "no_payment_required"


def _intent_status(row: Row) -> str:
    if row["processing_until"] is not None:
        return "processing"
    return {
        "pending": "requires_payment_method",
        "action_required": "requires_action",
        "succeeded": "succeeded",
        "declined": "requires_payment_method",
        "canceled": "canceled",
        "expired": "canceled",
    }[row["status"]]


def refund_view(at: Moment, refund: Row, want: Wanted) -> dict[str, Any]:
    paid = one(at.tx, "SELECT * FROM payments WHERE id = ?", refund["payment"])
    assert paid is not None
    asked = json.loads(refund["request"])
    failure = {"failure_reason": refund["failure_reason"]} if refund["failure_reason"] else {}
    return {
        "id": shown(REFUND, refund["id"]),
        "object": "refund",
        "amount": units_of(refund["amount_minor"], refund["currency"]),
        "balance_transaction": shown(TRANSACTION, refund["id"]),
        "charge": expanded(want, "charge", shown(CHARGE, paid["id"]), lambda it: charge_view(at, paid, it)),
        "created": seconds(refund["created_at"]),
        "currency": refund["currency"].lower(),
        **failure,
        "metadata": asked["metadata"],
        "payment_intent": expanded(
            want, "payment_intent", shown(INTENT, paid["id"]), lambda it: intent_view(at, paid, it)
        ),
        "reason": asked["reason"]
        if asked["reason"] in ("duplicate", "fraudulent", "requested_by_customer")
        else None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": refund["status"],
        "transfer_reversal": None,
    }
