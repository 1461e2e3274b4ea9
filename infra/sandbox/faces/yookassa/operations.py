"""The API as a table: name, method, path, accepted body, and what runs in its one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from infra.sandbox.engine import payments, refunds
from infra.sandbox.engine.clock import from_iso
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, one
from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.listing import ListQuery, page
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.faces.serving import Call, NotServed, Operation, Trouble
from infra.sandbox.faces.yookassa.bodies import BindingBody, CaptureBody, EmptyBody, PaymentBody, RefundBody
from infra.sandbox.faces.yookassa.errors import trouble_answer
from infra.sandbox.faces.yookassa.events import is_binding
from infra.sandbox.faces.yookassa.ids import FACE, engine_id
from infra.sandbox.faces.yookassa.views import binding_view, payment_view, receipt_view, refund_view

PAGE_MAX = 100
# What each of YooKassa's statuses is to the engine.
_STATUSES = {
    "pending": "status IN ('pending', 'action_required') AND authorized_until IS NULL",
    "waiting_for_capture": "status IN ('pending', 'action_required') AND authorized_until IS NOT NULL",
    "succeeded": "status = 'succeeded'",
    "canceled": "status IN ('declined', 'canceled', 'expired', 'failed')",
}


def _create(at: Moment, call: Call) -> Answer:
    body: PaymentBody = call.body
    if body.payment_method_id is None:
        row = payments.open_checkout(at, body.checkout())
    else:
        row = payments.charge(at, body.charge(_method(body.payment_method_id)))
    return Answer(200, payment_view(at, row))


def _method(shown_id: str) -> str:
    try:
        return engine_id("sm", shown_id)
    except Refused:
        raise Refused(Reason.UNKNOWN_METHOD, "There is no such payment method.") from None


def _created_as(raw: bytes) -> str:
    """With a saved method it is a charge, otherwise a checkout."""
    try:
        saved = "payment_method_id" in json.loads(raw)
    except (ValueError, TypeError):
        saved = False
    return "charge.create" if saved else "checkout.create"


def _get_payment(at: Moment, call: Call) -> Answer:
    return Answer(200, payment_view(at, _payment(at, call)))


def _capture(at: Moment, call: Call) -> Answer:
    row, wanted = _payment(at, call), call.body.amount
    if wanted and wanted.currency != row["currency"]:
        raise NotServed(trouble_answer(Trouble.INVALID, "Another currency.", "amount.currency"))
    return Answer(200, payment_view(at, payments.capture(at, row["id"], wanted and wanted.minor)))


def _cancel(at: Moment, call: Call) -> Answer:
    return Answer(200, payment_view(at, payments.void(at, _payment(at, call)["id"])))


def _list_payments(at: Moment, call: Call) -> Answer:
    return _list(at, "payments", call.query, payment_view, {}, "amount_minor > 0")


def _bind(at: Moment, call: Call) -> Answer:
    return Answer(200, binding_view(at, payments.open_checkout(at, call.body.request())))


def _get_binding(at: Moment, call: Call) -> Answer:
    row = payments.payment(at, engine_id("sp", call.id))
    if row["face"] != FACE or not is_binding(row):
        raise Refused(Reason.NOT_FOUND, "There is no such payment method.")
    return Answer(200, binding_view(at, row))


def _refund(at: Moment, call: Call) -> Answer:
    request = call.body.request()
    row = one(at.tx, "SELECT * FROM payments WHERE id = ? AND face = ?", request.payment, FACE)
    if row is None or row["currency"] != call.body.amount.currency:
        wrong = "payment_id" if row is None else "amount.currency"
        raise NotServed(trouble_answer(Trouble.INVALID, "It cannot be refunded so.", wrong))
    return Answer(200, refund_view(at, refunds.refund_payment(at, request)))


def _get_refund(at: Moment, call: Call) -> Answer:
    return Answer(200, refund_view(at, refunds.refund(at, engine_id("sr", call.id))))


def _list_refunds(at: Moment, call: Call) -> Answer:
    paid = call.query.get("payment_id")
    return _list(at, "refunds", call.query, refund_view, {"payment": engine_id("sp", paid)} if paid else {})


def _list_receipts(at: Moment, call: Call) -> Answer:
    """Of one payment or one refund: this bank registers a receipt when the money moves."""
    if paid := call.query.get("payment_id"):
        row = payments.payment(at, engine_id("sp", paid))
    elif returned := call.query.get("refund_id"):
        row = refunds.refund(at, engine_id("sr", returned))
    else:
        raise NotServed(trouble_answer(Trouble.INVALID, "Name a payment or a refund.", "payment_id"))
    receipt = receipt_view(row)
    return Answer(200, {"type": "list", "items": [receipt] if receipt else []})


def _payment(at: Moment, call: Call) -> Row:
    row = payments.payment(at, engine_id("sp", call.id))
    if row["face"] != FACE or is_binding(row):
        raise Refused(Reason.NOT_FOUND, "There is no such payment.")
    return row


def _list(
    at: Moment,
    table: Literal["payments", "refunds"],
    query: Mapping[str, str],
    view: Callable[[Moment, Row], dict[str, Any]],
    equal: Mapping[str, str],
    *where: str,
) -> Answer:
    limit = _whole(query, "limit", 10)
    if not 1 <= limit <= PAGE_MAX:
        raise NotServed(trouble_answer(Trouble.INVALID, "From 1 to 100.", "limit"))
    status = query.get("status")
    if status is not None and status not in _STATUSES:
        raise NotServed(trouble_answer(Trouble.INVALID, "Not a status.", "status"))
    if status and table == "payments":
        where = (*where, _STATUSES[status])
    elif status:
        equal = {**equal, "status": {"canceled": "failed"}.get(status, status)}
    rows, cursor = page(
        at,
        table,
        ListQuery(
            limit=limit,
            created_from=_bound(query, "gte", "gt"),
            created_before=_bound(query, "lt", "lte"),
            equal=equal,
            where=where,
            after=_whole(query, "cursor", 0) if "cursor" in query else None,
        ),
    )
    body: dict[str, Any] = {"type": "list", "items": [view(at, row) for row in rows]}
    return Answer(200, body | ({"next_cursor": str(cursor)} if cursor is not None else {}))


def _bound(query: Mapping[str, str], at_it: str, beside_it: str) -> int | None:
    """An instant of the query in microseconds. Instants are in milliseconds, so the next one is a thousand away."""
    for word, step in ((at_it, 0), (beside_it, 1000)):
        name = f"created_at.{word}"
        if name in query:
            try:
                return from_iso(query[name]) + step
            except ValueError:
                raise NotServed(trouble_answer(Trouble.INVALID, "Not an instant.", name)) from None
    return None


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise NotServed(trouble_answer(Trouble.INVALID, "Not a whole number.", name))
    return int(text)


OPERATIONS = (
    Operation("payment.create", "POST", "/v3/payments", _create, PaymentBody, _created_as),
    Operation("payment.list", "GET", "/v3/payments", _list_payments),
    Operation("payment.get", "GET", "/v3/payments/{id}", _get_payment),
    Operation("payment.capture", "POST", "/v3/payments/{id}/capture", _capture, CaptureBody),
    Operation("payment.cancel", "POST", "/v3/payments/{id}/cancel", _cancel, EmptyBody),
    Operation("method.create", "POST", "/v3/payment_methods", _bind, BindingBody),
    Operation("method.get", "GET", "/v3/payment_methods/{id}", _get_binding),
    Operation("refund.create", "POST", "/v3/refunds", _refund, RefundBody),
    Operation("refund.list", "GET", "/v3/refunds", _list_refunds),
    Operation("refund.get", "GET", "/v3/refunds/{id}", _get_refund),
    Operation("receipt.list", "GET", "/v3/receipts", _list_receipts),
)
