"""Payments and payment methods as rows."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.money import Money
from shared_lib.domain.payment import DeclineKind, Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.values import restored
from shared_lib.store.bulk import Table, array_literal
from shared_lib.store.rows.locking import Locking
from shared_lib.store.transaction import Row, Transaction

PAYMENTS = Table(
    "payments",
    {
        "id": "text",
        "order_id": "text",
        "provider": "text",
        "flow": "text",
        "status": "text",
        "amount_minor": "bigint",
        "currency": "text",
        "attempt": "integer",
        "created_at": "timestamptz",
        "surplus": "boolean",
        "payment_method_id": "text",
        "provider_ref": "text",
        "provider_capture_ref": "text",
        "checkout_url": "text",
        "decline_kind": "text",
        "decline_reason": "text",
        "captured_minor": "bigint",
        "refund_reserved_minor": "bigint",
        "refunded_minor": "bigint",
        "fence": "integer",
        "lease_until": "timestamptz",
        "first_sent_at": "timestamptz",
        "checks": "integer",
        "next_check_at": "timestamptz",
    },
)


def payment_of(row: Row) -> Payment:
    return restored(
        Payment,
        {
            "id": row[0],
            "order_id": row[1],
            "provider": row[2],
            "flow": PaymentFlow(row[3]),
            "status": PaymentStatus(row[4]),
            "amount": Money(row[5], row[6]),
            "attempt": row[7],
            "created_at": row[8],
            "surplus": row[9],
            "payment_method_id": row[10],
            "provider_ref": row[11],
            "provider_capture_ref": row[12],
            "checkout_url": row[13],
            "decline_kind": DeclineKind(row[14]) if row[14] else None,
            "decline_reason": row[15],
            "captured_minor": row[16],
            "refund_reserved_minor": row[17],
            "refunded_minor": row[18],
            "fence": row[19],
            "lease_until": row[20],
            "first_sent_at": row[21],
            "checks": row[22],
            "next_check_at": row[23],
        },
    )


def payment_row(payment: Payment) -> Row:
    return (
        payment.id,
        payment.order_id,
        payment.provider,
        payment.flow,
        payment.status,
        payment.amount.minor,
        payment.amount.currency,
        payment.attempt,
        payment.created_at,
        payment.surplus,
        payment.payment_method_id,
        payment.provider_ref,
        payment.provider_capture_ref,
        payment.checkout_url,
        payment.decline_kind,
        payment.decline_reason,
        payment.captured_minor,
        payment.refund_reserved_minor,
        payment.refunded_minor,
        payment.fence,
        payment.lease_until,
        payment.first_sent_at,
        payment.checks,
        payment.next_check_at,
    )


async def lock_payments_of(tx: Transaction, order_ids: Sequence[str]) -> Locking[Payment]:
    """Lock every payment of these orders, in id order. The orders were locked before."""
    if not order_ids:
        return Locking(None, payment_of)
    question = await tx.ask(
        f"SELECT {PAYMENTS.select} FROM payments WHERE order_id = ANY(%s::text[]) ORDER BY id FOR UPDATE",
        [array_literal(order_ids)],
    )
    return Locking(question, payment_of)
