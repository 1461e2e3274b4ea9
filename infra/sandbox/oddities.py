"""What the contract does not promise and happens all the same: other amounts, twins, the merchant's dashboard."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.sandbox import payments, refunds
from infra.sandbox.bodies import CurrencyCode, RefundBody
from infra.sandbox.books import BALANCE, post
from infra.sandbox.core import Moment, Refused, new_id
from infra.sandbox.database import Row, one
from infra.sandbox.events import emit
from infra.sandbox.views import method_view, payment_view

Status = Literal["pending", "succeeded", "declined", "canceled", "expired"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StateBody(_Body):
    """A payment as no rule of ours would make it. `captured_minor` is cumulative; what is absent stays as it is."""

    status: Status | None = None
    captured_minor: Annotated[int, Field(ge=0)] | None = None
    amount_minor: Annotated[int, Field(ge=0)] | None = None
    currency: CurrencyCode | None = None
    card: str | None = None  # the slug of a test card: what its refunds will do
    told: bool = True  # False: no webhook about it


class DashboardRefundBody(_Body):
    payment: str
    amount_minor: Annotated[int, Field(gt=0)] | None = None


class MethodBody(_Body):
    expires: str


def restate(at: Moment, id_: str, body: StateBody) -> Row:
    """Set a payment's state. Captured money is booked like any other."""
    before = payments.payment(at, id_)
    captured = before["captured_minor"] if body.captured_minor is None else body.captured_minor
    more = captured - before["captured_minor"]
    if more < 0:
        raise Refused(400, "captured_only_grows", "Captured money is given back by a refund.")
    at.tx.execute(
        "UPDATE payments SET status = ?, captured_minor = ?, amount_minor = ?, currency = ?,"
        " card = coalesce(?, card, 'success'), processing_until = NULL WHERE id = ?",
        (
            body.status or before["status"],
            captured,
            before["amount_minor"] if body.amount_minor is None else body.amount_minor,
            body.currency or before["currency"],
            body.card,
            id_,
        ),
    )
    row = payments.payment(at, id_)
    post(at, row, more, debit=f"card:{row['card']}:{id_}", credit=BALANCE)
    if body.told:
        emit(at, f"payment.{row['status']}", payment_view(at, row))
    return row


def twin(at: Moment, id_: str) -> Row:
    """A second open payment with the metadata of the first: two requests under one id of the merchant's."""
    first, second = payments.payment(at, id_), new_id("sp")
    at.tx.execute(
        "INSERT INTO payments (id, flow, status, amount_minor, currency, their_payment, their_order, request,"
        " card, method_id, expires_at, created_at) SELECT ?, flow, 'pending', amount_minor, currency,"
        " their_payment, their_order, request, 'success', method_id, expires_at, ? FROM payments WHERE id = ?",
        (second, at.now, first["id"]),
    )
    return payments.payment(at, second)


def refund_by_hand(at: Moment, body: DashboardRefundBody) -> Row:
    """The merchant presses Refund in the dashboard: no id of theirs goes with it."""
    asked = RefundBody(payment=body.payment, amount_minor=body.amount_minor, reason="dashboard")
    return refunds.give_back(at, asked)


def update_method(at: Moment, id_: str, body: MethodBody) -> dict[str, object]:
    """The card network says that a saved card was renewed."""
    at.tx.execute("UPDATE methods SET expires = ? WHERE id = ?", (body.expires, id_))
    row = one(at.tx, "SELECT * FROM methods WHERE id = ?", id_)
    if row is None:
        raise Refused(404, "resource_missing", "No such method.")
    view = method_view(row)
    emit(at, "method.updated", view)
    return view
