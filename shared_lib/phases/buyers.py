"""Customers as the Auth service describes them, kept so that mails and periods know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared_lib.phases.wish import Buyer
from shared_lib.store.bulk import array_literal
from shared_lib.store.transaction import Transaction


def keep_buyers(
    tx: Transaction, known: Mapping[str, tuple[str | None, ...]], buyers: Sequence[Buyer]
) -> None:
    """Remember whom to write to, in the customer's language. Written only when something changed.

    `known`: (email, locale, time zone) by customer, as they stand.
    """
    latest = {buyer.customer_id: buyer for buyer in buyers}
    ordered = [
        buyer
        for customer_id, buyer in sorted(latest.items())
        if known.get(customer_id) != (buyer.email, buyer.locale, buyer.time_zone)
    ]
    if not ordered:
        return
    tx.later(
        """
        INSERT INTO customers (id, email, locale, time_zone, updated_at)
        SELECT new.*, %s FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS new
        ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email, locale = EXCLUDED.locale,
            time_zone = EXCLUDED.time_zone, updated_at = EXCLUDED.updated_at
        WHERE (customers.email, customers.locale, customers.time_zone)
            IS DISTINCT FROM (EXCLUDED.email, EXCLUDED.locale, EXCLUDED.time_zone)
        """,
        [
            tx.now,
            array_literal([buyer.customer_id for buyer in ordered]),
            array_literal([buyer.email for buyer in ordered]),
            array_literal([buyer.locale for buyer in ordered]),
            array_literal([buyer.time_zone for buyer in ordered]),
        ],
    )
