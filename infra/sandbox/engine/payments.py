"""Payments: opened as a checkout and paid on the page, or charged to a saved method."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from infra.sandbox.engine.books import BALANCE, post
from infra.sandbox.engine.cards import Card, Does, Step, by_slug, step
from infra.sandbox.engine.clock import SECOND_US
from infra.sandbox.engine.core import CHECKOUT_LIFETIME_S, Change, Moment, new_id
from infra.sandbox.engine.database import Row, many, one
from infra.sandbox.engine.notices import notify
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.engine.requests import ChargeRequest, CheckoutRequest

OPEN = ("pending", "action_required")
HOLD_S = 7 * 24 * 3600  # how long a card's approval lasts that the merchant has not captured


def payment(at: Moment, id_: str) -> Row:
    row = one(at.tx, "SELECT * FROM payments WHERE id = ?", id_)
    if row is None:
        raise Refused(Reason.NOT_FOUND, "No such payment.")
    return row


def is_open(row: Row) -> bool:
    """Whether the customer may pay it, and the merchant close it."""
    return row["status"] in OPEN and row["processing_until"] is None and row["authorized_until"] is None


# ---- checkout ----------------------------------------------------------------------------------------------


def open_checkout(at: Moment, request: CheckoutRequest) -> Row:
    lifetime_s = request.expires_in_s or CHECKOUT_LIFETIME_S
    return _insert(at, "checkout", "pending", request, expires_at=at.now + lifetime_s * SECOND_US)


def pay(at: Moment, id_: str, card: Card, expires: str) -> Row:
    """The customer sends the form. Returns the payment: still open with a decline code, or in its next status."""
    row = _open(at, id_)
    tries: dict[str, int] = json.loads(row["attempts"])
    answer = step(card.page, tries.get(card.slug, 0))
    tries[card.slug] = tries.get(card.slug, 0) + 1
    request = json.loads(row["request"]) | {"card_expires": expires}
    at.tx.execute(
        "UPDATE payments SET attempts = ?, card = ?, request = ?, decline_code = NULL WHERE id = ?",
        (json.dumps(tries), card.slug, json.dumps(request), id_),
    )
    return _apply(at, id_, answer)


def answer_challenge(at: Moment, id_: str, *, confirmed: bool) -> Row:
    """The 3-D Secure step. Refusing leaves the checkout open for another card."""
    row = _open(at, id_)
    if row["status"] != "action_required":
        raise Refused(Reason.NO_CHALLENGE, "There is nothing to confirm.")
    if confirmed:
        return _approved(at, id_)
    return _set(at, id_, "pending", decline_code="authentication_failed")


def cancel(at: Moment, id_: str) -> Row:
    """The merchant closes the link. Refused while a slow card is being processed."""
    row = payment(at, id_)
    if not is_open(row):
        raise Refused(Reason.NOT_OPEN, "Only an open checkout can be expired; read the payment.")
    return _set(at, id_, "canceled")


def succeed_late(at: Moment, id_: str) -> Row:
    """Money arrives although the payment was closed, as with providers whose links cannot be canceled."""
    row = payment(at, id_)
    if row["captured_minor"] or row["status"] == "succeeded":
        raise Refused(Reason.ALREADY_PAID, "This payment has succeeded already.")
    if row["card"] is None:
        at.tx.execute("UPDATE payments SET card = 'success' WHERE id = ?", (id_,))
    return _succeed(at, id_)


# ---- two stages: the card approves, the merchant captures ----------------------------------------------------


def capture(at: Moment, id_: str, amount_minor: int | None) -> Row:
    """Take the approved money, all of it or a part; the rest of the hold is released."""
    row = _authorized(at, id_)
    if amount_minor is not None and amount_minor > row["amount_minor"]:
        raise Refused(Reason.CAPTURE_TOO_LARGE, "The amount is greater than what was approved.")
    return _succeed(at, id_, amount_minor)


def void(at: Moment, id_: str) -> Row:
    """Release the hold: nothing is taken."""
    _authorized(at, id_)
    return _release(at, id_, "voided")


def _authorized(at: Moment, id_: str) -> Row:
    row = payment(at, id_)
    if row["status"] not in OPEN or row["authorized_until"] is None:
        raise Refused(Reason.NOT_AUTHORIZED, "This payment does not wait for its capture.")
    return row


def _release(at: Moment, id_: str, why: str) -> Row:
    at.tx.execute("UPDATE payments SET authorized_until = NULL WHERE id = ?", (id_,))
    return _set(at, id_, "canceled", decline_code=why)


# ---- charge ------------------------------------------------------------------------------------------------


def charge(at: Moment, request: ChargeRequest) -> Row:
    """Money from a saved method. Returns a payment that succeeded or was declined."""
    method = one(at.tx, "SELECT * FROM methods WHERE id = ? AND face = ?", request.method_id, at.face)
    if method is None:
        raise Refused(Reason.UNKNOWN_METHOD, "No such method.")
    answer = _next_answer(at, method)
    row = _insert(at, "charge", "pending", request, card=method["card"], method_id=method["id"])
    return _apply(at, row["id"], answer)


def _next_answer(at: Moment, method: Row) -> Step:
    """A scripted code goes first, then the card's own script."""
    if method["deleted_at"] is not None:
        return Step(Does.DECLINE, "method_removed")
    scripted: list[str | None] = json.loads(method["scripted"])
    if scripted:
        code = scripted.pop(0)
        at.tx.execute("UPDATE methods SET scripted = ? WHERE id = ?", (json.dumps(scripted), method["id"]))
        return Step(Does.DECLINE, code) if code else Step(Does.APPROVE)
    at.tx.execute("UPDATE methods SET charges = charges + 1 WHERE id = ?", (method["id"],))
    return step(by_slug(method["card"]).later, method["charges"])


# ---- time --------------------------------------------------------------------------------------------------


def run_due(at: Moment) -> None:
    """Slow cards answer, unpaid checkouts and unused approvals expire."""
    due = "SELECT id FROM payments WHERE status IN ('pending', 'action_required') AND "
    for (id_,) in many(at.tx, due + "processing_until <= ?", at.now):
        _approved(at, id_)
    unpaid = "processing_until IS NULL AND authorized_until IS NULL AND expires_at <= ?"
    for (id_,) in many(at.tx, due + unpaid, at.now):
        _set(at, id_, "expired")
    for (id_,) in many(at.tx, due + "authorized_until <= ?", at.now):
        _release(at, id_, "not_captured")


# ---- one step ----------------------------------------------------------------------------------------------


def _open(at: Moment, id_: str) -> Row:
    row = payment(at, id_)
    if not is_open(row):
        raise Refused(Reason.NOT_OPEN, "This checkout takes no more payments.")
    return row


def _apply(at: Moment, id_: str, answer: Step) -> Row:
    row = payment(at, id_)
    match answer.does:
        case Does.APPROVE:
            return _approved(at, id_)
        case Does.DECLINE:
            # On the page the customer may try another card; a charge has no customer to ask.
            status = "pending" if row["flow"] == "checkout" else "declined"
            return _set(at, id_, status, decline_code=answer.code)
        case Does.CHALLENGE:
            return _set(at, id_, "action_required")
        case Does.PROCESS:
            at.tx.execute("UPDATE payments SET processing_until = ? WHERE id = ?", (at.processed_at, id_))
            return _set(at, id_, "pending")


def _approved(at: Moment, id_: str) -> Row:
    """The card approves: the money is taken, or held until the merchant captures it."""
    if json.loads(payment(at, id_)["request"]).get("capture", True):
        return _succeed(at, id_)
    at.tx.execute(
        "UPDATE payments SET status = 'pending', authorized_until = ?, processing_until = NULL,"
        " decline_code = NULL WHERE id = ?",
        (at.now + HOLD_S * SECOND_US, id_),
    )
    notify(at, Change.PAYMENT, payment(at, id_))
    return payment(at, id_)


def _succeed(at: Moment, id_: str, captured_minor: int | None = None) -> Row:
    row = payment(at, id_)
    request = json.loads(row["request"])
    captured = row["amount_minor"] if captured_minor is None else captured_minor
    customer = request.get("customer_id") or _customer_id(request.get("customer_ref"))
    if row["method_id"] is not None:
        method = one(at.tx, "SELECT customer_id FROM methods WHERE id = ?", row["method_id"])
        customer = customer if method is None else method["customer_id"]
    elif request.get("save_method"):
        at.tx.execute(
            "UPDATE payments SET method_id = ? WHERE id = ?", (_save_method(at, row, customer), id_)
        )
    at.tx.execute(
        "UPDATE payments SET captured_minor = ?, processing_until = NULL, authorized_until = NULL WHERE id = ?",
        (captured, id_),
    )
    card = f"card:{row['card']}:{customer}"
    post(at, row, captured, debit=card, credit=BALANCE)
    return _set(at, id_, "succeeded")


def _set(at: Moment, id_: str, status: str, *, decline_code: str | None = None) -> Row:
    """Write the status, and queue a webhook when it is a new one."""
    before = payment(at, id_)
    at.tx.execute(
        "UPDATE payments SET status = ?, decline_code = ? WHERE id = ?", (status, decline_code, id_)
    )
    row = payment(at, id_)
    if status != before["status"] or row["processing_until"] is not None:
        notify(at, Change.PAYMENT, row)
    return row


def _insert(
    at: Moment,
    flow: str,
    status: str,
    request: CheckoutRequest | ChargeRequest,
    *,
    expires_at: int | None = None,
    card: str | None = None,
    method_id: str | None = None,
) -> Row:
    id_ = new_id("sp")
    at.tx.execute(
        "INSERT INTO payments (id, face, flow, status, amount_minor, currency, their_payment, their_order, request,"
        " card, method_id, expires_at, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            id_,
            at.face,
            flow,
            status,
            request.amount_minor,
            request.currency,
            request.metadata.get("payment_id"),
            request.metadata.get("order_id"),
            json.dumps(asdict(request)),
            card,
            method_id,
            expires_at,
            at.now,
        ),
    )
    return payment(at, id_)


def _save_method(at: Moment, row: Row, customer: str) -> str:
    id_ = "sm_" + str(row["id"]).removeprefix("sp_")  # a payment saves one method
    expires = json.loads(row["request"]).get("card_expires", "2034-12")
    at.tx.execute(
        "INSERT INTO methods (id, face, customer_id, card, expires, created_at) VALUES (?,?,?,?,?,?)",
        (id_, row["face"], customer, row["card"], expires, at.now),
    )
    return id_


def _customer_id(their_ref: str | None) -> str:
    """One customer of the merchant is one customer here; the hash does not reveal which one."""
    if their_ref is None:
        return new_id("sc")
    return "sc_" + hashlib.sha256(their_ref.encode()).hexdigest()[:24]
