"""The JSON API as a table: name, method, path, accepted body, and what runs in its one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from infra.sandbox import books, payments, refunds
from infra.sandbox.bodies import ChargeBody, CheckoutBody, ExpireBody, RefundBody
from infra.sandbox.core import Moment, Refused, from_iso
from infra.sandbox.currencies import CURRENCIES
from infra.sandbox.database import Row, many, one
from infra.sandbox.events import emit
from infra.sandbox.idempotency import Answer
from infra.sandbox.views import method_view, payment_view, refund_view

PAGE_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One parsed request."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None  # the operation's own body type
    key: str | None = None  # the idempotency key of a POST
    asked: str = ""  # fingerprint of the request

    @property
    def id(self) -> str:
        return self.path["id"]


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    method: str
    path: str
    run: Callable[[Moment, Call], Answer]
    accepts: type[BaseModel] | None = None


def _open_checkout(at: Moment, call: Call) -> Answer:
    return Answer(201, payment_view(at, payments.open_checkout(at, call.body)))


def _expire_checkout(at: Moment, call: Call) -> Answer:
    return Answer(200, payment_view(at, payments.cancel(at, call.id)))


def _charge(at: Moment, call: Call) -> Answer:
    view = payment_view(at, payments.charge(at, call.body))
    if view["decline"] is None:
        return Answer(201, view)
    return Answer(402, {"error": {"type": "card_error", **view["decline"], "payment": view}})


def _get_payment(at: Moment, call: Call) -> Answer:
    return Answer(200, payment_view(at, payments.payment(at, call.id)))


def _list_payments(at: Moment, call: Call) -> Answer:
    """Newest first. A payment made while somebody turns pages is newer than every cursor: no page shifts."""
    return _page(at, "payments", call.query, payment_view, {"metadata[payment_id]": "their_payment"})


def _refund(at: Moment, call: Call) -> Answer:
    return Answer(201, refund_view(at, refunds.give_back(at, call.body)))


def _get_refund(at: Moment, call: Call) -> Answer:
    return Answer(200, refund_view(at, refunds.refund(at, call.id)))


def _list_refunds(at: Moment, call: Call) -> Answer:
    columns = {"payment": "payment", "metadata[refund_id]": "their_refund"}
    return _page(at, "refunds", call.query, refund_view, columns)


def _get_method(at: Moment, call: Call) -> Answer:
    return Answer(200, method_view(_method(at, call.id)))


def _delete_method(at: Moment, call: Call) -> Answer:
    _method(at, call.id)
    forget = "UPDATE methods SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL"
    if at.tx.execute(forget, (at.now, call.id)).rowcount:
        emit(at, "method.deleted", method_view(_method(at, call.id)))
    return Answer(200, method_view(_method(at, call.id)))


def _books(at: Moment, call: Call) -> Answer:  # noqa: ARG001  # every operation is called alike
    return Answer(200, {"object": "books", **books.totals(at.tx)})


def _account(at: Moment, call: Call) -> Answer:  # noqa: ARG001
    minimum = {code: currency.minimum_minor for code, currency in CURRENCIES.items()}
    return Answer(200, {"object": "account", "merchant": at.config.merchant, "minimum_minor": minimum})


def _method(at: Moment, id_: str) -> Row:
    row = one(at.tx, "SELECT * FROM methods WHERE id = ?", id_)
    if row is None:
        raise Refused(404, "resource_missing", "No such method.")
    return row


def _window(query: Mapping[str, str]) -> tuple[list[str], list[object]]:
    where: list[str] = []
    values: list[object] = []
    for name, comparison in (("created[gte]", ">="), ("created[lt]", "<")):
        if name in query:
            where.append(f"created_at {comparison} ?")
            values.append(_instant(query[name], name))
    return where, values


def _page(
    at: Moment,
    table: str,
    query: Mapping[str, str],
    view: Callable[[Moment, Row], dict[str, Any]],
    extra: Mapping[str, str],
) -> Answer:
    """Rows of the window, newest first; `extra` maps further parameters to the columns they must equal."""
    where, values = _window(query)
    for parameter, column in extra.items():
        if wanted := query.get(parameter):
            where, values = [*where, f"{column} = ?"], [*values, wanted]
    limit = min(_whole(query, "limit", 10), PAGE_MAX)
    if "cursor" in query:
        where, values = [*where, "seq < ?"], [*values, _whole(query, "cursor", 0)]
    condition = " AND ".join(where) or "1"
    sql = f"SELECT * FROM {table} WHERE {condition} ORDER BY seq DESC LIMIT ?"
    rows = many(at.tx, sql, *values, limit + 1)
    more = len(rows) > limit
    cursor = str(rows[limit - 1]["seq"]) if more else None
    return Answer(
        200, {"object": "list", "data": [view(at, row) for row in rows[:limit]], "next_cursor": cursor}
    )


def _instant(text: str, name: str) -> int:
    try:
        return from_iso(text)
    except ValueError:
        raise Refused(400, "invalid_parameter", "Not an instant with an offset.", param=name) from None


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "invalid_parameter", "Not a whole number.", param=name)
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
