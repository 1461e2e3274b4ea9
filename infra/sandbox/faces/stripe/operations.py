"""The API as a table: name, method, path, accepted body, and what runs in its one transaction.

Names are those of the native face where both have the call, so that one fault script fits all faces.
"""

from __future__ import annotations

from typing import Final

from infra.sandbox.engine import payments
from infra.sandbox.engine.clock import SECOND_US
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.currencies import CURRENCIES
from infra.sandbox.engine.database import Row
from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.engine.requests import ChargeRequest, CheckoutRequest
from infra.sandbox.faces.serving import Call, Operation
from infra.sandbox.faces.stripe.bodies import Expanding, IntentBody, RefundBody, SessionBody
from infra.sandbox.faces.stripe.errors import Shown, answer, refused
from infra.sandbox.faces.stripe.ids import CHARGE, CUSTOMER, FACE, INTENT, SESSION, engine, shown
from infra.sandbox.faces.stripe.listing import listed, searched_intents, wanted_in
from infra.sandbox.faces.stripe.parts import wanted
from infra.sandbox.faces.stripe.refunds import (
    create_refund,
    detach_method,
    engine_minor,
    get_event,
    get_method,
    get_refund,
    intent_named,
    list_events,
    list_refunds,
    method_named,
)
from infra.sandbox.faces.stripe.views import HAS_INTENT, charge_view, intent_view, last_error, session_view

_SESSION_S: Final = 24 * 3600
_SHORTEST_S: Final = 30 * 60


# ---- checkout sessions -------------------------------------------------------------------------------------


def _open_session(at: Moment, call: Call) -> Answer:
    body: SessionBody = call.body
    price = body.price
    currency, units = (price.currency, price.unit_amount) if price else (body.currency or "", 0)
    minor = _chargeable(units, currency, "line_items[0][price_data][unit_amount]") if price else 0
    intent = body.payment_intent_data
    row = payments.open_checkout(
        at,
        CheckoutRequest(
            amount_minor=minor,
            currency=currency,
            description=price.product_data.name if price else "Card on file",
            return_url=body.success_url,
            cancel_url=body.cancel_url,
            metadata=body.metadata,
            save_method=price is None or intent.setup_future_usage is not None,
            customer_email=body.customer_email,
            customer_id=engine(CUSTOMER, body.customer) if body.customer else None,
            locale=body.locale,
            expires_in_s=_lifetime_s(at, body.expires_at),
            kept={
                "client_reference_id": body.client_reference_id,
                "customer_creation": None if body.customer else body.customer_creation,
                "description": intent.description,
                "intent_metadata": intent.metadata if price else body.setup_intent_data.metadata,
            },
        ),
    )
    # The address to return to may name the session.
    at.tx.execute(
        "UPDATE payments SET request = replace(request, '{CHECKOUT_SESSION_ID}', ?) WHERE id = ?",
        (shown(SESSION, row["id"]), row["id"]),
    )
    return Answer(200, session_view(at, payments.payment(at, row["id"]), wanted(body.expand)))


def _lifetime_s(at: Moment, expires_at: int | None) -> int:
    if expires_at is None:
        return _SESSION_S
    lifetime_s = expires_at - at.now // SECOND_US
    if not _SHORTEST_S <= lifetime_s <= _SESSION_S:
        raise refused("expires_at must be between 30 minutes and 24 hours from now", "expires_at")
    return lifetime_s


def _get_session(at: Moment, call: Call) -> Answer:
    return Answer(200, session_view(at, _session(at, call.id), wanted_in(call.query)))


def _expire_session(at: Moment, call: Call) -> Answer:
    row = payments.cancel(at, _session(at, call.id)["id"])
    return Answer(200, session_view(at, row, wanted(call.body.expand)))


def _list_sessions(at: Moment, call: Call) -> Answer:
    return listed(
        at,
        call.query,
        url="/v1/checkout/sessions",
        table="payments",
        prefix=SESSION,
        view=session_view,
        where=["flow = 'checkout'"],
    )


def _session(at: Moment, id_: str) -> Row:
    row = payments.payment(at, engine(SESSION, id_))
    if row["face"] != FACE or row["flow"] != "checkout":
        raise Refused(Reason.NOT_FOUND, f"No such checkout.session: {id_}")
    return row


# ---- payment intents ---------------------------------------------------------------------------------------


def _charge(at: Moment, call: Call) -> Answer:
    body: IntentBody = call.body
    minor = _chargeable(body.amount, body.currency, "amount")
    method = method_named(at, body.payment_method, "payment_method", 400)
    if method["deleted_at"] is not None or method["customer_id"] != engine(CUSTOMER, body.customer):
        text = f"The customer does not have a payment method with the ID {body.payment_method}."
        raise refused(
            f"{text} The payment method must be attached to the customer.",
            "payment_method",
            "resource_missing",
        )
    row = payments.charge(
        at,
        ChargeRequest(
            amount_minor=minor,
            currency=body.currency,
            description=body.description or "",
            method_id=method["id"],
            metadata=body.metadata,
            kept={"description": body.description, "intent_metadata": body.metadata},
        ),
    )
    intent = intent_view(at, row, wanted(body.expand))
    error = last_error(at, row)
    if error is None:
        return Answer(200, intent)
    return Answer(402, {"error": error | {"payment_intent": intent_view(at, row, {})}})


def _get_intent(at: Moment, call: Call) -> Answer:
    return Answer(200, intent_view(at, intent_named(at, call.id), wanted_in(call.query)))


def _cancel_intent(at: Moment, call: Call) -> Answer:
    """Intents of sessions end with them, and a charge here ends at once."""
    row = intent_named(at, call.id)
    state = intent_view(at, row, {})["status"]
    text = f"You cannot cancel this PaymentIntent because it has a status of {state}."
    return answer(Shown(400, "payment_intent_unexpected_state"), text)


def _list_intents(at: Moment, call: Call) -> Answer:
    return listed(
        at,
        call.query,
        url="/v1/payment_intents",
        table="payments",
        prefix=INTENT,
        view=intent_view,
        where=[HAS_INTENT],
    )


def _search_intents(at: Moment, call: Call) -> Answer:
    return searched_intents(at, call.query)


def _get_charge(at: Moment, call: Call) -> Answer:
    return Answer(200, charge_view(at, intent_named(at, call.id, CHARGE), wanted_in(call.query)))


def _chargeable(units: int, currency: str, param: str) -> int:
    minor = engine_minor(units, currency, param)
    if minor < CURRENCIES[currency].minimum_minor:
        raise refused("Amount must be at least the smallest one for this currency", param, "amount_too_small")
    return minor


_V1: Final = f"/{FACE}/v1"

OPERATIONS: Final = (
    Operation("checkout.create", "POST", f"{_V1}/checkout/sessions", _open_session, SessionBody),
    Operation("payment.list", "GET", f"{_V1}/checkout/sessions", _list_sessions),
    Operation("payment.get", "GET", f"{_V1}/checkout/sessions/{{id}}", _get_session),
    Operation(
        "checkout.expire", "POST", f"{_V1}/checkout/sessions/{{id}}/expire", _expire_session, Expanding
    ),
    Operation("charge.create", "POST", f"{_V1}/payment_intents", _charge, IntentBody),
    Operation("payment.list", "GET", f"{_V1}/payment_intents", _list_intents),
    Operation("payment.search", "GET", f"{_V1}/payment_intents/search", _search_intents),
    Operation("payment.get", "GET", f"{_V1}/payment_intents/{{id}}", _get_intent),
    Operation("checkout.expire", "POST", f"{_V1}/payment_intents/{{id}}/cancel", _cancel_intent, Expanding),
    Operation("payment.get", "GET", f"{_V1}/charges/{{id}}", _get_charge),
    Operation("refund.create", "POST", f"{_V1}/refunds", create_refund, RefundBody),
    Operation("refund.list", "GET", f"{_V1}/refunds", list_refunds),
    Operation("refund.get", "GET", f"{_V1}/refunds/{{id}}", get_refund),
    Operation("method.get", "GET", f"{_V1}/payment_methods/{{id}}", get_method),
    Operation("method.delete", "POST", f"{_V1}/payment_methods/{{id}}/detach", detach_method, Expanding),
    Operation("event.list", "GET", f"{_V1}/events", list_events),
    Operation("event.get", "GET", f"{_V1}/events/{{id}}", get_event),
)
