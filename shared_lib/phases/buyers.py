"""Customers as the Auth service describes them, kept so that mails and periods know them."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.phases.shelf import Shelf
from shared_lib.phases.wish import Buyer
from shared_lib.store.bulk import array_literal
from shared_lib.store.transaction import Transaction


def keep_buyers(tx: Transaction, shelf: Shelf, buyers: Sequence[Buyer]) -> None:
    """Remember whom to write to, in the customer's language. Written only when something changed.

    What a token does not say, or says of an address that is not proven, replaces nothing: receipts would stop.
    """
    latest: dict[str, Buyer] = {}
    for buyer in buyers:
        before = latest.get(buyer.customer_id)
        latest[buyer.customer_id] = (
            buyer.completed(before.email, before.locale, before.time_zone) if before else buyer
        )
    ordered = [latest[id_] for id_ in sorted(latest) if shelf.is_new(latest[id_])]
    if not ordered:
        return
    tx.later(
        """
        WITH new AS (
            SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS new (id, email, locale, time_zone)
        )
        INSERT INTO customers (id, email, locale, time_zone, updated_at)
        SELECT id, email, coalesce(locale, 'en'), coalesce(time_zone, 'UTC'), %s FROM new
        ON CONFLICT (id) DO UPDATE SET updated_at = EXCLUDED.updated_at,
            email = coalesce(EXCLUDED.email, customers.email),
            locale = coalesce((SELECT locale FROM new WHERE new.id = EXCLUDED.id), customers.locale),
            time_zone = coalesce((SELECT time_zone FROM new WHERE new.id = EXCLUDED.id), customers.time_zone)
        """,
        [
            array_literal([buyer.customer_id for buyer in ordered]),
            array_literal([buyer.email for buyer in ordered]),
            array_literal([buyer.locale for buyer in ordered]),
            array_literal([buyer.time_zone for buyer in ordered]),
            tx.now,
        ],
    )
