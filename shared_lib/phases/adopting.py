"""Refunds that were not made by us: in the provider's dashboard, or before a backup was restored. Adopted as our own.

The default for access is an operator's: what makes the refund of an order complete ends access, a part keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import facts
from shared_lib.phases.desk import Desk
from shared_lib.phases.observations import ObservedRefund
from shared_lib.phases.returning import apply_refund
from shared_lib.phases.surplus import keep_returning, surplus_held, surplus_waiting, withdraw_waiting
from shared_lib.providers.base import PaymentRef, RefundSnapshot, RefundState
from shared_lib.store.transaction import Transaction

BY_PROVIDER = "provider"
_CAME_TO_NOTHING = frozenset({RefundState.FAILED, RefundState.CANCELED})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRefund:
    """A refund as the provider lists it, of this payment of ours."""

    payment_id: str
    said: RefundSnapshot


async def refundable_ref(tx: Transaction, payment_id: str) -> PaymentRef | None:
    """A query: where the provider keeps this payment, or None while it has none."""
    rows = await tx.fetch(
        "SELECT provider, provider_ref, provider_capture_ref FROM payments"
        " WHERE id = %s AND provider_ref IS NOT NULL",
        [payment_id],
    )
    if not rows:
        return None
    return PaymentRef(provider=rows[0][0], provider_payment_id=rows[0][1], capture_id=rows[0][2])


async def adopt_refunds(tx: Transaction, found: Sequence[FoundRefund]) -> list[bool]:
    """Settle what a provider lists as refunds of our payments; True where it agrees with what we know now."""
    rows = await tx.fetch(
        "SELECT order_id FROM payments WHERE id = ANY(%s)", [sorted({one.payment_id for one in found})]
    )
    desk = Desk(tx)
    await desk.lock([row[0] for row in rows], refunds=True)
    await desk.read_entitlements()
    agreed = [
        one.payment_id in desk.payments and observe(desk, desk.payments[one.payment_id], one.said, asked=True)
        for one in found
    ]
    desk.write()
    return agreed


def observe(desk: Desk, payment: Payment, said: RefundSnapshot, *, asked: bool) -> bool:
    """Settle news about a refund of this payment: one of ours, or one to adopt. False: it contradicts what we know.

    `asked`: the provider answered a question just now. Before a refund is adopted its payment is looked at: what it
    returns may be money that we have not heard of. All refunds of the order are locked, its entitlement is on the desk.
    """
    known = _known(desk, payment, said)
    if known is None:
        known = _adopt(desk, payment, said) if asked else None
    return known is not None and not apply_refund(desk, ObservedRefund(refund_id=known.id, said=said)).alarm


def _known(desk: Desk, payment: Payment, said: RefundSnapshot) -> Refund | None:
    """Ours by the provider's id, else by the id that we gave it; then the provider must not have told another one."""
    refunds = [refund for refund in desk.refunds.values() if refund.payment_id == payment.id]
    by_ref = (refund for refund in refunds if refund.provider_ref == said.provider_refund_id)
    by_id = (refund for refund in refunds if refund.id == said.our_refund_id and refund.provider_ref is None)
    return next(by_ref, None) or next(by_id, None)


def _adopt(desk: Desk, payment: Payment, said: RefundSnapshot) -> Refund | None:
    """A row for it, reserved. None while it is more than we know to be there."""
    came_to_nothing = said.state in _CAME_TO_NOTHING
    if said.amount.currency != payment.amount.currency or said.amount.minor <= 0:
        _refuse(payment, said, "another currency, or nothing")
        return None
    held = surplus_held(desk, payment) + surplus_waiting(desk, payment)
    surplus = payment.surplus or said.amount.minor <= held
    room = held if surplus else payment.refundable.minor
    if said.amount.minor > room and not came_to_nothing:
        _refuse(payment, said, f"only {room} is left as far as we know")
        return None
    full = payment.refund_reserved_minor + said.amount.minor >= payment.captured_minor
    refund = Refund(
        id=new_id("ref"),
        order_id=payment.order_id,
        payment_id=payment.id,
        status=RefundStatus.REQUESTED,
        amount=said.amount,
        reason="made at the provider",
        access=RefundAccess.END_NOW if full and not surplus else RefundAccess.KEEP,
        surplus=surplus,
        requested_by=BY_PROVIDER,
        created_at=desk.now,
        provider_ref=said.provider_refund_id,
        next_check_at=desk.now,
    )
    if surplus and not came_to_nothing:
        withdraw_waiting(desk, payment)  # what we wanted to return has been returned by hand
    desk.put(refund)
    if not surplus:
        reserved = payment.refund_reserved_minor + said.amount.minor
        desk.put(replace(payment, refund_reserved_minor=reserved))
    elif not came_to_nothing:
        keep_returning(desk, payment)
    order = desk.orders[payment.order_id]
    desk.tell_of_order("billing.refund.requested", order.id, facts.of_refund(refund, order))
    log.info("refund_adopted", refund_id=refund.id, payment_id=payment.id, ref=said.provider_refund_id)
    return refund


def _refuse(payment: Payment, said: RefundSnapshot, why: str) -> None:
    log.error(
        "refund_beyond_captured",
        payment_id=payment.id,
        order_id=payment.order_id,
        ref=said.provider_refund_id,
        said=str(said.amount),
        why=why,
    )
