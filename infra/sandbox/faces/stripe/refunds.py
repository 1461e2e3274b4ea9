"""Refunds, payment methods and events of the API: what runs in the transaction of each call."""

from __future__ import annotations

import json
from typing import Any

from infra.sandbox.engine import methods, payments, refunds
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, many
from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.engine.requests import RefundRequest
from infra.sandbox.faces.serving import Call
from infra.sandbox.faces.stripe.amounts import minor_of
from infra.sandbox.faces.stripe.bodies import RefundBody
from infra.sandbox.faces.stripe.errors import refused
from infra.sandbox.faces.stripe.ids import CHARGE, FACE, INTENT, METHOD, REFUND, engine
from infra.sandbox.faces.stripe.listing import listed, wanted_in
from infra.sandbox.faces.stripe.parts import method_view, wanted
from infra.sandbox.faces.stripe.views import has_intent, refund_view


def intent_named(at: Moment, id_: str, prefix: str = INTENT) -> Row:
    row = payments.payment(at, engine(prefix, id_))
    if row["face"] != FACE or not has_intent(row):
        raise Refused(Reason.NOT_FOUND, f"No such payment_intent: '{id_}'")
    return row


def engine_minor(units: int, currency: str, param: str) -> int:
    try:
        return minor_of(units, currency)
    except ValueError as error:
        raise refused(str(error), param, "parameter_invalid_integer") from None


# ---- refunds and methods -----------------------------------------------------------------------------------


def create_refund(at: Moment, call: Call) -> Answer:
    body: RefundBody = call.body
    row = (
        intent_named(at, body.payment_intent)
        if body.payment_intent
        else intent_named(at, body.charge or "", CHARGE)
    )
    if row["captured_minor"] == 0:
        raise refused("This PaymentIntent does not have a successful charge to refund.", "payment_intent")
    refund = refunds.refund_payment(
        at,
        RefundRequest(
            payment=row["id"],
            amount_minor=None
            if body.amount is None
            else engine_minor(body.amount, row["currency"], "amount"),
            reason=body.reason or "",
            metadata=body.metadata,
        ),
    )
    return Answer(200, refund_view(at, refund, wanted(body.expand)))


def get_refund(at: Moment, call: Call) -> Answer:
    row = refunds.refund(at, engine(REFUND, call.id))
    return Answer(200, refund_view(at, row, wanted_in(call.query)))


def list_refunds(at: Moment, call: Call) -> Answer:
    return listed(
        at, call.query, url="/v1/refunds", table="refunds", prefix=REFUND, view=refund_view, where=[]
    )


def get_method(at: Moment, call: Call) -> Answer:
    return Answer(200, method_view(method_named(at, call.id, "payment_method", 404)))


def detach_method(at: Moment, call: Call) -> Answer:
    row = method_named(at, call.id, "payment_method", 404)
    if row["deleted_at"] is not None:
        text = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise refused(text, "payment_method")
    return Answer(200, method_view(methods.delete(at, row["id"])))


def method_named(at: Moment, id_: str, param: str, status: int) -> Row:
    missing = refused(f"No such PaymentMethod: '{id_}'", param, "resource_missing", status)
    try:
        row = methods.method(at, engine(METHOD, id_))
    except Refused:
        raise missing from None
    if row["face"] != FACE:
        raise missing
    return row


# ---- events ------------------------------------------------------------------------------------------------


def list_events(at: Moment, call: Call) -> Answer:  # noqa: ARG001  # every operation is called alike
    rows = many(at.tx, "SELECT body FROM events WHERE face = ? ORDER BY seq DESC LIMIT 100", FACE)
    data = [json.loads(row["body"]) for row in rows]
    return Answer(200, {"object": "list", "data": data, "has_more": False, "url": "/v1/events"})


def get_event(at: Moment, call: Call) -> Answer:
    rows = many(at.tx, "SELECT body FROM events WHERE face = ? AND id = ?", FACE, call.id)
    if not rows:
        raise Refused(Reason.NOT_FOUND, f"No such event: '{call.id}'")
    body: dict[str, Any] = json.loads(rows[0]["body"])
    return Answer(200, body)
