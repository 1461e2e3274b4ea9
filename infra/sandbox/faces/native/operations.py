"""The JSON API as a table: name, method, path, accepted body, and what runs in its one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from infra.sandbox.engine import books, methods, payments, refunds
from infra.sandbox.engine.clock import from_iso
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.currencies import CURRENCIES
from infra.sandbox.engine.database import Row
from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.listing import ListQuery, page
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.faces.native.bodies import ChargeBody, CheckoutBody, ExpireBody, RefundBody
from infra.sandbox.faces.native.errors import trouble_answer
from infra.sandbox.faces.native.views import method_view, payment_view, refund_view
from infra.sandbox.faces.serving import Call, NotServed, Operation, Trouble

PAGE_MAX = 100


def _open_checkout(at: Moment, call: Call) -> Answer:
    return Answer(201, payment_view(at, payments.open_checkout(at, call.body.request())))


def _expire_checkout(at: Moment, call: Call) -> Answer:
    return Answer(200, payment_view(at, payments.cancel(at, call.id)))


def _charge(at: Moment, call: Call) -> Answer:
    view = payment_view(at, payments.charge(at, call.body.request()))
    if view["decline"] is None:
        return Answer(201, view)
    return Answer(402, {"error": {"type": "card_error", **view["decline"], "payment": view}})


def _get_payment(at: Moment, call: Call) -> Answer:
    row = payments.payment(at, call.id)
    if row["face"] != at.face:
        raise Refused(Reason.NOT_FOUND, "No such payment.")
    return Answer(200, payment_view(at, row))


def _list_payments(at: Moment, call: Call) -> Answer:
    return _list(at, "payments", call.query, payment_view, {"metadata[payment_id]": "their_payment"})


def _refund(at: Moment, call: Call) -> Answer:
    return Answer(201, refund_view(at, refunds.refund_payment(at, call.body.request())))


def _get_refund(at: Moment, call: Call) -> Answer:
    return Answer(200, refund_view(at, refunds.refund(at, call.id)))


def _list_refunds(at: Moment, call: Call) -> Answer:
    columns = {"payment": "payment", "metadata[refund_id]": "their_refund"}
    return _list(at, "refunds", call.query, refund_view, columns)


def _get_method(at: Moment, call: Call) -> Answer:
    return Answer(200, method_view(methods.method(at, call.id)))


def _delete_method(at: Moment, call: Call) -> Answer:
    return Answer(200, method_view(methods.delete(at, call.id)))


def _books(at: Moment, call: Call) -> Answer:  # noqa: ARG001  # every operation is called alike
    return Answer(200, {"object": "books", **books.totals(at.tx)})


def _account(at: Moment, call: Call) -> Answer:  # noqa: ARG001
    minimum = {code: currency.minimum_minor for code, currency in CURRENCIES.items()}
    return Answer(200, {"object": "account", "merchant": at.config.merchant, "minimum_minor": minimum})


def _list(
    at: Moment,
    table: Literal["payments", "refunds"],
    query: Mapping[str, str],
    view: Callable[[Moment, Row], dict[str, Any]],
    filters: Mapping[str, str],
) -> Answer:
    """One page; `filters` maps query parameters to the columns they must equal."""
    rows, cursor = page(
        at,
        table,
        ListQuery(
            limit=min(_whole(query, "limit", 10), PAGE_MAX),
            created_from=_instant(query, "created[gte]"),
            created_before=_instant(query, "created[lt]"),
            equal={column: query[name] for name, column in filters.items() if query.get(name)},
            after=_whole(query, "cursor", 0) if "cursor" in query else None,
        ),
    )
    next_cursor = None if cursor is None else str(cursor)
    return Answer(
        200, {"object": "list", "data": [view(at, row) for row in rows], "next_cursor": next_cursor}
    )


def _instant(query: Mapping[str, str], name: str) -> int | None:
    if name not in query:
        return None
    try:
        return from_iso(query[name])
    except ValueError:
        message = "Not an instant with an offset."
        raise NotServed(trouble_answer(Trouble.INVALID, message, name)) from None


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise NotServed(trouble_answer(Trouble.INVALID, "Not a whole number.", name))
    return max(int(text), 1)


OPERATIONS = (
    Operation("checkout.create", "POST", "/v1/checkouts", _open_checkout, CheckoutBody),
    Operation("checkout.get", "GET", "/v1/checkouts/{id}", _get_payment),
    Operation("checkout.expire", "POST", "/v1/checkouts/{id}/expire", _expire_checkout, ExpireBody),
    Operation("charge.create", "POST", "/v1/charges", _charge, ChargeBody),
    Operation("payment.list", "GET", "/v1/payments", _list_payments),
    Operation("payment.get", "GET", "/v1/payments/{id}", _get_payment),
    Operation("refund.create", "POST", "/v1/refunds", _refund, RefundBody),
    Operation("refund.list", "GET", "/v1/refunds", _list_refunds),
    Operation("refund.get", "GET", "/v1/refunds/{id}", _get_refund),
    Operation("method.get", "GET", "/v1/methods/{id}", _get_method),
    Operation("method.delete", "DELETE", "/v1/methods/{id}", _delete_method),
    Operation("books.get", "GET", "/v1/books", _books),
    Operation("account.get", "GET", "/v1/account", _account),
)
