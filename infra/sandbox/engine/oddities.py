"""What a provider's contract does not promise and still happens: other amounts, twins, refunds in the dashboard."""

from __future__ import annotations

from dataclasses import dataclass

from infra.sandbox.engine import payments, refunds
from infra.sandbox.engine.books import BALANCE, post
from infra.sandbox.engine.core import Change, Moment, new_id
from infra.sandbox.engine.database import Row
from infra.sandbox.engine.notices import notify
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.engine.requests import RefundRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class NewState:
    """A payment as no rule here would make it. `captured_minor` is cumulative; None leaves a value as it is."""

    status: str | None = None
    captured_minor: int | None = None
    amount_minor: int | None = None
    currency: str | None = None
    card: str | None = None  # the slug of a test card: it decides what refunds of this payment will do


def restate(at: Moment, id_: str, new: NewState, *, with_webhook: bool) -> Row:
    """Set a payment's state. Captured money is booked like any other."""
    before = payments.payment(at, id_)
    captured = before["captured_minor"] if new.captured_minor is None else new.captured_minor
    more = captured - before["captured_minor"]
    if more < 0:
        raise Refused(Reason.CAPTURED_ONLY_GROWS, "Captured money is given back by a refund.")
    at.tx.execute(
        "UPDATE payments SET status = ?, captured_minor = ?, amount_minor = ?, currency = ?,"
        " card = coalesce(?, card, 'success'), processing_until = NULL WHERE id = ?",
        (
            new.status or before["status"],
            captured,
            before["amount_minor"] if new.amount_minor is None else new.amount_minor,
            new.currency or before["currency"],
            new.card,
            id_,
        ),
    )
    row = payments.payment(at, id_)
    post(at, row, more, debit=f"card:{row['card']}:{id_}", credit=BALANCE)
    if with_webhook:
        notify(at, Change.PAYMENT, row)
    return row


def twin(at: Moment, id_: str) -> Row:
    """A second open payment with the metadata of the first: two requests under one id of the merchant's."""
    first, second = payments.payment(at, id_), new_id("sp")
    at.tx.execute(
        "INSERT INTO payments (id, face, flow, status, amount_minor, currency, their_payment, their_order, request,"
        " card, method_id, expires_at, created_at) SELECT ?, face, flow, 'pending', amount_minor, currency,"
        " their_payment, their_order, request, 'success', method_id, expires_at, ? FROM payments WHERE id = ?",
        (second, at.now, first["id"]),
    )
    return payments.payment(at, second)


def refund_by_hand(at: Moment, payment_id: str, amount_minor: int | None) -> Row:
    """The merchant presses Refund in the dashboard: the refund carries no id of the merchant's."""
    return refunds.refund_payment(
        at, RefundRequest(payment=payment_id, amount_minor=amount_minor, reason="dashboard")
    )
