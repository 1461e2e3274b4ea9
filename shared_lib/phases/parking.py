"""Webhooks that must wait: kept whole in the inbox, to be applied again by reconcile."""

from __future__ import annotations

import json
from collections.abc import Sequence

from shared_lib.phases.webhooks import EVENT, TRY_AGAIN, Received
from shared_lib.store.transaction import Transaction


async def put_off_webhooks(tx: Transaction, addresses: Sequence[tuple[str, str]]) -> list[None]:
    """Their provider must be asked and does not answer: these parked events are tried again later."""
    tx.later(
        """
        UPDATE inbox SET attempts = attempts + 1, next_try_at = %s + (%s::interval[])[least(attempts + 1, %s)]
        WHERE (source, event_id) IN (SELECT * FROM unnest(%s::text[], %s::text[])) AND status = 'parked'
        """,
        [
            await tx.clock(),
            list(TRY_AGAIN),
            len(TRY_AGAIN),
            [source for source, _ in addresses],
            [event_id for _, event_id in addresses],
        ],
    )
    return [None] * len(addresses)


async def park_webhooks(tx: Transaction, received: Sequence[Received]) -> list[None]:
    """Keep events that could not be settled. One that was taken before stays as it is."""
    now = await tx.clock()
    for item in received:
        tx.later(
            """
            INSERT INTO inbox (source, event_id, status, payload, attempts, received_at, next_try_at)
            VALUES (%s, %s, 'parked', %s, 1, %s, %s) ON CONFLICT DO NOTHING
            """,
            [
                item.provider,
                item.event.dedup_id,
                json.dumps(EVENT.dump_python(item.event, mode="json")),
                now,
                now + TRY_AGAIN[0],
            ],
        )
    return [None] * len(received)
