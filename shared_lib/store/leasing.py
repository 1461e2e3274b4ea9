"""Reads what asking a provider about payments needs beside their cases."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.leasing import LeaseContext
from shared_lib.billing.reports import LocalOutcome, SavedMethodRef
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.store.methods import method_of
from shared_lib.store.transaction import Transaction


async def read_lease_context(tx: Transaction, payments: Sequence[tuple[Payment, Order]]) -> LeaseContext:
    """The methods that these payments charge, or why one may not be charged any more, and their customers' addresses.

    To be read when the payments are locked: a method that its owner took away before that is not charged.
    """
    if not payments:
        return LeaseContext()
    rows = await tx.fetch(
        """
        SELECT p.method_id, p.customer_id, c.email,
            m.usable, m.deleted_at IS NOT NULL,
            m.provider, m.provider_ref, m.provider_customer_ref, m.brand, m.last4, m.expires
        FROM unnest(%b::text[], %b::text[]) AS p (method_id, customer_id)
        LEFT JOIN payment_methods m ON m.id = p.method_id
        LEFT JOIN customers c ON c.id = p.customer_id
        """,
        [
            [payment.payment_method_id for payment, _ in payments],
            [order.customer_id for _, order in payments],
        ],
    )
    methods: dict[str, SavedMethodRef] = {}
    unusable: dict[str, LocalOutcome] = {}
    emails: dict[str, str] = {}
    for method_id, customer_id, email, usable, deleted, *method_row in rows:
        method = method_of(*method_row)
        if method and deleted:
            unusable[method_id] = LocalOutcome.METHOD_REMOVED
        elif method and not usable:
            unusable[method_id] = LocalOutcome.METHOD_REFUSED
        elif method:
            methods[method_id] = method
        if email is not None:
            emails[customer_id] = email
    return LeaseContext(methods, unusable, emails)
