"""What is asked before a provider is asked for its refunds."""

from __future__ import annotations

from shared_lib.billing.reports import PaymentRef
from shared_lib.store.transaction import Transaction


async def refundable_ref(tx: Transaction, payment_id: str) -> PaymentRef | None:
    """Where the provider keeps this payment, or None while it has none."""
    rows = await tx.fetch(
        "SELECT provider, provider_ref, provider_capture_ref FROM payments"
        " WHERE id = %s AND provider_ref IS NOT NULL",
        [payment_id],
    )
    for provider, ref, capture_ref in rows:
        return PaymentRef(provider=provider, provider_payment_id=ref, capture_id=capture_ref)
    return None
