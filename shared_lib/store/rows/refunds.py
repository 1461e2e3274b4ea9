"""Refunds as rows."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.money import Money
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus
from shared_lib.store.bulk import Table, array_literal
from shared_lib.store.rows.locking import Locking
from shared_lib.store.transaction import Row, Transaction

REFUNDS = Table(
    "refunds",
    {
        "id": "text",
        "order_id": "text",
        "payment_id": "text",
        "status": "text",
        "amount_minor": "bigint",
        "currency": "text",
        "reason": "text",
        "access": "text",
        "surplus": "boolean",
        "requested_by": "text",
        "created_at": "timestamptz",
        "provider_ref": "text",
        "failure_reason": "text",
        "fence": "integer",
        "lease_until": "timestamptz",
        "first_sent_at": "timestamptz",
        "checks": "integer",
        "next_check_at": "timestamptz",
        "decided_by": "text",
        "decided_at": "timestamptz",
    },
)


def refund_of(row: Row) -> Refund:
    return Refund(
        id=row[0],
        order_id=row[1],
        payment_id=row[2],
        status=RefundStatus(row[3]),
        amount=Money(row[4], row[5]),
        reason=row[6],
        access=RefundAccess(row[7]),
        surplus=row[8],
        requested_by=row[9],
        created_at=row[10],
        provider_ref=row[11],
        failure_reason=row[12],
        fence=row[13],
        lease_until=row[14],
        first_sent_at=row[15],
        checks=row[16],
        next_check_at=row[17],
        decided_by=row[18],
        decided_at=row[19],
    )


def refund_row(refund: Refund) -> Row:
    return (
        refund.id,
        refund.order_id,
        refund.payment_id,
        refund.status,
        refund.amount.minor,
        refund.amount.currency,
        refund.reason,
        refund.access,
        refund.surplus,
        refund.requested_by,
        refund.created_at,
        refund.provider_ref,
        refund.failure_reason,
        refund.fence,
        refund.lease_until,
        refund.first_sent_at,
        refund.checks,
        refund.next_check_at,
        refund.decided_by,
        refund.decided_at,
    )


async def lock_refunds_of(tx: Transaction, order_ids: Sequence[str]) -> Locking[Refund]:
    """Lock every refund of these orders, in id order: the last level, after their payments."""
    if not order_ids:
        return Locking(None, refund_of)
    question = await tx.ask(
        f"SELECT {REFUNDS.select} FROM refunds WHERE order_id = ANY(%s::text[]) ORDER BY id FOR UPDATE",
        [array_literal(order_ids)],
    )
    return Locking(question, refund_of)
