"""Payment methods that providers hand back: kept once, whoever brings them."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.ids import new_id
from shared_lib.phases.desk import Desk
from shared_lib.phases.observations import Observed
from shared_lib.providers.base import PaymentSnapshot, SavedMethodRef
from shared_lib.store.transaction import Row, Transaction


class Methods:
    """Our ids of the providers' tokens a batch speaks of. A new token gets its row before anything refers to it."""

    def __init__(self, desk: Desk, known: dict[tuple[str, str], str]) -> None:
        self._desk = desk
        self._known = known

    @classmethod
    async def read(cls, desk: Desk, observed: Sequence[Observed]) -> Methods:
        refs = {(method.provider, method.method_id) for news in observed if (method := _method(news))}
        if not refs:
            return cls(desk, {})
        rows = await desk.tx.fetch(
            """
            SELECT provider, provider_ref, id FROM payment_methods
            WHERE (provider, provider_ref) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
            """,
            [[provider for provider, _ in refs], [ref for _, ref in refs]],
        )
        return cls(desk, {(row[0], row[1]): row[2] for row in rows})

    def keep(self, said: PaymentSnapshot, customer_id: str) -> str | None:
        """Our id of the method the snapshot carries, or None when it carries none."""
        method = said.saved_method
        if method is None:
            return None
        address = method.provider, method.method_id
        if address not in self._known:
            self._known[address] = new_id("pm")
            self._desk.tx.later(_INSERT, self._row(self._known[address], customer_id, method))
        return self._known[address]

    def _row(self, method_id: str, customer_id: str, method: SavedMethodRef) -> Row:
        return (
            method_id,
            customer_id,
            method.provider,
            method.method_id,
            method.customer_id,
            method.brand,
            method.last4,
            method.expires,
            method.fingerprint,
            self._desk.now,
        )


_INSERT = """
    INSERT INTO payment_methods
        (id, customer_id, provider, provider_ref, provider_customer_ref, brand, last4, expires, card_key, created_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def never_again(desk: Desk, method_id: str) -> None:
    """Its bank will not have it charged any more. Its owner may still see it, and take it away."""
    desk.tx.later("UPDATE payment_methods SET usable = false WHERE id = %s", [method_id])


def removed(tx: Transaction, provider: str, ref: str) -> None:
    """The provider has deleted the token: it can never be charged again."""
    tx.later(
        "UPDATE payment_methods SET usable = false, deleted_at = coalesce(deleted_at, %s)"
        " WHERE provider = %s AND provider_ref = %s",
        [tx.now, provider, ref],
    )


def changed(tx: Transaction, provider: str, method: SavedMethodRef) -> None:
    """The bank renewed the card: what is shown of it changes, and nothing else. What is deleted stays deleted."""
    tx.later(
        "UPDATE payment_methods SET brand = coalesce(%s, brand), last4 = coalesce(%s, last4),"
        " expires = coalesce(%s, expires) WHERE provider = %s AND provider_ref = %s AND deleted_at IS NULL",
        [method.brand, method.last4, method.expires, provider, method.method_id],
    )


def _method(news: Observed) -> SavedMethodRef | None:
    return news.said.saved_method if isinstance(news.said, PaymentSnapshot) else None
