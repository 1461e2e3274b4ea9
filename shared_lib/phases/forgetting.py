"""Saved payment methods that their owner no longer wants to be charged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared_lib.phases.claims import method_of
from shared_lib.providers.base import SavedMethodRef
from shared_lib.store.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetMethod:
    customer_id: str
    method_id: str


async def forget_methods(tx: Transaction, wanted: Sequence[ForgetMethod]) -> list[SavedMethodRef | None]:
    """Mark methods as gone. None when the customer has no such method; forgetting twice is the same as once."""
    rows = await tx.fetch(
        """
        UPDATE payment_methods m SET usable = false, deleted_at = coalesce(m.deleted_at, %s)
        FROM unnest(%b::text[], %b::text[]) AS gone (customer_id, id)
        WHERE m.id = gone.id AND m.customer_id = gone.customer_id
        RETURNING m.customer_id, m.id, provider, provider_ref, provider_customer_ref, brand, last4, expires
        """,
        [await tx.clock(), [want.customer_id for want in wanted], [want.method_id for want in wanted]],
    )
    found = {(row[0], row[1]): method_of(row[2:]) for row in rows}
    return [found.get((want.customer_id, want.method_id)) for want in wanted]
