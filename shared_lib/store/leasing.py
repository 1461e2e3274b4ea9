"""Reads what asking a provider about payments needs beside their cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from shared_lib.billing.leasing import LeaseContext
from shared_lib.billing.reports import LocalOutcome, SavedMethodRef
from shared_lib.store.methods import method_of
from shared_lib.store.transaction import Transaction


async def read_emails(tx: Transaction, customer_ids: Collection[str]) -> Mapping[str, str]:
    """The e-mail addresses of those customers that have one."""
    if not customer_ids:
        return {}
    rows = await tx.fetch(
        "SELECT id, email FROM customers WHERE id = ANY(%b::text[]) AND email IS NOT NULL",
        [list(customer_ids)],
    )
    return dict(rows)


async def read_lease_context(tx: Transaction, asked: Sequence[tuple[str | None, str]]) -> LeaseContext:
    """Of these (method id, customer id): the methods, or why one may not be charged any more, and the customers' addresses.

    To be read when the roots are locked: a method that its owner took away before that is not charged.
    """
    if not asked:
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
        [[method_id for method_id, _ in asked], [customer_id for _, customer_id in asked]],
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
