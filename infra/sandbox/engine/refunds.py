"""Refunds: never more than was captured, sometimes late, sometimes bouncing after they succeeded."""

from __future__ import annotations

import json
from dataclasses import asdict

from infra.sandbox.engine.books import IN_TRANSIT, REFUNDS, post
from infra.sandbox.engine.cards import RefundEnding, by_slug
from infra.sandbox.engine.core import Change, Moment, new_id
from infra.sandbox.engine.database import Row, many, one
from infra.sandbox.engine.notices import notify
from infra.sandbox.engine.payments import payment
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.engine.requests import RefundRequest


def refund(at: Moment, id_: str) -> Row:
    row = one(at.tx, "SELECT * FROM refunds WHERE id = ?", id_)
    if row is None:
        raise Refused(Reason.NOT_FOUND, "No such refund.")
    return row


def refund_payment(at: Moment, request: RefundRequest) -> Row:
    """Reserve and start one refund; the card's script says how it ends."""
    paid = payment(at, request.payment)
    left = paid["captured_minor"] - _reserved(at, paid["id"])
    if left <= 0:
        raise Refused(Reason.NOTHING_TO_REFUND, "Nothing is left to refund on this payment.")
    amount_minor = left if request.amount_minor is None else request.amount_minor
    if amount_minor > left:
        raise Refused(Reason.REFUND_TOO_LARGE, "The amount is greater than what is left.")
    row = _insert(at, request, paid, amount_minor)
    post(at, paid, amount_minor, debit=REFUNDS, credit=IN_TRANSIT, refund=row["id"])
    return _begin(at, row["id"], by_slug(paid["card"]).refund)


def _begin(at: Moment, id_: str, ending: RefundEnding) -> Row:
    match ending:
        case RefundEnding.SUCCEEDS:
            return succeed(at, id_)
        case RefundEnding.PENDS:
            return _schedule(at, id_, "succeeded")
        case RefundEnding.FAILS_LATER:
            succeed(at, id_)
            return _schedule(at, id_, "failed")


def succeed(at: Moment, id_: str) -> Row:
    row = refund(at, id_)
    if row["status"] != "pending":
        raise Refused(Reason.REFUND_ENDED, "This refund has ended already.")
    paid = payment(at, row["payment"])
    post(at, paid, row["amount_minor"], debit=IN_TRANSIT, credit=_card_of(at, paid), refund=id_)
    _add_refunded(at, paid, row["amount_minor"])
    return _end(at, id_, "succeeded", None)


def fail(at: Moment, id_: str, reason: str) -> Row:
    """The refund does not arrive, or bounces: the merchant has the money again."""
    row = refund(at, id_)
    if row["status"] == "failed":
        raise Refused(Reason.REFUND_ENDED, "This refund has failed already.")
    paid = payment(at, row["payment"])
    arrived = row["status"] == "succeeded"
    held_by = _card_of(at, paid) if arrived else IN_TRANSIT
    post(at, paid, row["amount_minor"], debit=held_by, credit=REFUNDS, refund=id_)
    if arrived:
        _add_refunded(at, paid, -row["amount_minor"])
    return _end(at, id_, "failed", reason)


def run_due(at: Moment) -> None:
    for row in many(at.tx, "SELECT * FROM refunds WHERE due_at <= ?", at.now):
        if row["next_status"] == "succeeded":
            succeed(at, row["id"])
        else:
            fail(at, row["id"], "lost_or_stolen_card")


def _reserved(at: Moment, payment_id: str) -> int:
    held = (
        "SELECT coalesce(sum(amount_minor), 0) AS minor FROM refunds WHERE payment = ? AND status <> 'failed'"
    )
    row = one(at.tx, held, payment_id)
    assert row is not None
    return int(row["minor"])


def _card_of(at: Moment, paid: Row) -> str:
    """The account the money came from: the refund goes back there."""
    row = one(at.tx, "SELECT debit FROM entries WHERE payment = ? ORDER BY seq LIMIT 1", paid["id"])
    assert row is not None
    return str(row["debit"])


def _add_refunded(at: Moment, paid: Row, amount_minor: int) -> None:
    at.tx.execute(
        "UPDATE payments SET refunded_minor = refunded_minor + ? WHERE id = ?", (amount_minor, paid["id"])
    )


def _schedule(at: Moment, id_: str, next_status: str) -> Row:
    at.tx.execute(
        "UPDATE refunds SET next_status = ?, due_at = ? WHERE id = ?", (next_status, at.processed_at, id_)
    )
    return refund(at, id_)


def _end(at: Moment, id_: str, status: str, failure_reason: str | None) -> Row:
    at.tx.execute(
        "UPDATE refunds SET status = ?, failure_reason = ?, next_status = NULL, due_at = NULL WHERE id = ?",
        (status, failure_reason, id_),
    )
    row = refund(at, id_)
    notify(at, Change.REFUND, row)
    return row


def _insert(at: Moment, request: RefundRequest, paid: Row, amount_minor: int) -> Row:
    id_ = new_id("sr")
    at.tx.execute(
        "INSERT INTO refunds (id, payment, amount_minor, currency, status, their_refund, request, created_at)"
        " VALUES (?,?,?,?,'pending',?,?,?)",
        (
            id_,
            paid["id"],
            amount_minor,
            paid["currency"],
            request.metadata.get("refund_id"),
            json.dumps(asdict(request)),
            at.now,
        ),
    )
    return refund(at, id_)
