"""Saved payment methods that their owner takes away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from shared_lib.billing.reports import SavedMethodRef
from shared_lib.domain.values import Value
from shared_lib.store.methods import method_of
from shared_lib.store.transaction import Transaction


class DetachMethod(Value, kw_only=True):
    """`confirmed`: also when subscriptions are charged to it."""

    customer_id: str
    method_id: str
    confirmed: bool = False


class ChargedSubscription(Value, kw_only=True):
    """A subscription that its next renewal charges to the method."""

    subscription_id: str
    title: str
    renews_at: datetime | None


class MethodInUse(Value):
    """It stays until its owner confirms: these would have nothing left to be charged to."""

    subscriptions: list[ChargedSubscription]


async def detach_methods(
    tx: Transaction, wanted: Sequence[DetachMethod]
) -> list[SavedMethodRef | MethodInUse | None]:
    """Mark methods as gone. None: the customer has no such method. Twice is the same as once."""
    in_use = await _in_use(tx, [want for want in wanted if not want.confirmed])
    gone = [want for want in wanted if want.confirmed or (want.customer_id, want.method_id) not in in_use]
    rows = await tx.fetch(
        """
        UPDATE payment_methods m SET usable = false, deleted_at = coalesce(m.deleted_at, %s)
        FROM unnest(%b::text[], %b::text[]) AS gone (customer_id, id)
        WHERE m.id = gone.id AND m.customer_id = gone.customer_id
        RETURNING m.customer_id, m.id, provider, provider_ref, provider_customer_ref, brand, last4, expires
        """,
        [await tx.clock(), [want.customer_id for want in gone], [want.method_id for want in gone]],
    )
    found = {(customer_id, method_id): method_of(*columns) for customer_id, method_id, *columns in rows}
    answers: list[SavedMethodRef | MethodInUse | None] = []
    for want in wanted:
        address = want.customer_id, want.method_id
        charged = None if want.confirmed else in_use.get(address)
        answers.append(MethodInUse(charged) if charged else found.get(address))
    return answers


async def _in_use(
    tx: Transaction, wanted: Sequence[DetachMethod]
) -> dict[tuple[str, str], list[ChargedSubscription]]:
    """A renewal is charged to the subscription's own method and to no other, however many its customer has."""
    if not wanted:
        return {}
    rows = await tx.fetch(
        """
        SELECT s.customer_id, m.id, s.id, s.product_title, s.period_end
        FROM unnest(%b::text[], %b::text[]) AS gone (customer_id, id)
        JOIN payment_methods m ON m.id = gone.id AND m.customer_id = gone.customer_id AND m.usable
        JOIN subscriptions s ON s.customer_id = m.customer_id AND s.payment_method_id = m.id
        WHERE s.auto_renew AND s.status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')
        ORDER BY s.id
        """,
        [[want.customer_id for want in wanted], [want.method_id for want in wanted]],
    )
    found: dict[tuple[str, str], list[ChargedSubscription]] = defaultdict(list)
    for customer_id, method_id, subscription_id, title, renews_at in rows:
        charged = ChargedSubscription(subscription_id=subscription_id, title=title, renews_at=renews_at)
        found[customer_id, method_id].append(charged)
    return found
