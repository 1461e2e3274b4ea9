"""Payment methods that providers hand back: a row each, found by the provider's id of it."""

from __future__ import annotations

from collections.abc import Collection

from shared_lib.billing.reports import SavedMethodRef
from shared_lib.store.transaction import Question, Transaction


def method_of(  # noqa: PLR0917  # a column each
    provider: str | None,
    ref: str | None,
    customer: str | None,
    brand: str | None,
    last4: str | None,
    expires: str | None,
) -> SavedMethodRef | None:
    """The token in these columns, `provider_ref` and `provider_customer_ref` among them. None where there is none."""
    if provider is None or ref is None:
        return None
    return SavedMethodRef(
        provider=provider, method_id=ref, customer_id=customer, brand=brand, last4=last4, expires=expires
    )


async def ask_method_ids(tx: Transaction, refs: Collection[tuple[str, str]]) -> Question:
    """Rows of (provider, the provider's id, our id) of those that have a row."""
    return await tx.ask(
        """
        SELECT provider, provider_ref, id FROM payment_methods
        WHERE (provider, provider_ref) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
        """,
        [[provider for provider, _ in refs], [ref for _, ref in refs]],
    )


def keep_method(tx: Transaction, method_id: str, customer_id: str, method: SavedMethodRef) -> None:
    """Queue the row of a method that has none yet."""
    tx.later(
        """
        INSERT INTO payment_methods (
            id, customer_id, provider, provider_ref, provider_customer_ref,
            brand, last4, expires, card_key, created_at
        ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            method_id,
            customer_id,
            method.provider,
            method.method_id,
            method.customer_id,
            method.brand,
            method.last4,
            method.expires,
            method.fingerprint,
            tx.now,
        ],
    )


def disable_method(tx: Transaction, method_id: str) -> None:
    """Queue: its bank does not have it charged again. Its owner still sees it, and may take it away."""
    tx.later("UPDATE payment_methods SET usable = false WHERE id = %s", [method_id])


def mark_deleted(tx: Transaction, provider: str, ref: str) -> None:
    """Queue: the provider has deleted the token, so it can never be charged again."""
    tx.later(
        "UPDATE payment_methods SET usable = false, deleted_at = coalesce(deleted_at, %s)"
        " WHERE provider = %s AND provider_ref = %s",
        [tx.now, provider, ref],
    )


def update_card(tx: Transaction, provider: str, method: SavedMethodRef) -> None:
    """Queue: the bank renewed the card. What is shown of it changes, and nothing else. What is deleted stays deleted."""
    tx.later(
        "UPDATE payment_methods SET brand = coalesce(%s, brand), last4 = coalesce(%s, last4),"
        " expires = coalesce(%s, expires) WHERE provider = %s AND provider_ref = %s AND deleted_at IS NULL",
        [method.brand, method.last4, method.expires, provider, method.method_id],
    )
