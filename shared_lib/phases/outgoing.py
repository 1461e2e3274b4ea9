"""Events that were delivered, or not: deleted once acknowledged, put off when they must wait, kept when they are dead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from shared_lib.domain.values import Value
from shared_lib.ids import new_id
from shared_lib.store import repairs
from shared_lib.store.outbox import Outgoing, shard_of
from shared_lib.store.repairs import Repair
from shared_lib.store.transaction import Transaction


class Delivered(Value, kw_only=True):
    event: Outgoing


class PutOff(Value, kw_only=True):
    """Not now. `counts` False: no door was there to take it, which is not the event's fault."""

    event: Outgoing
    wait: timedelta
    counts: bool


class Dead(Value, kw_only=True):
    """No door will take it as it is."""

    event: Outgoing
    reason: str


async def settle_deliveries(tx: Transaction, outcomes: Sequence[Delivered | PutOff | Dead]) -> list[None]:
    """Note what became of events that were handed on."""
    await tx.clock()
    delivered = [outcome.event.row_id for outcome in outcomes if isinstance(outcome, Delivered)]
    dead = [outcome for outcome in outcomes if isinstance(outcome, Dead)]
    put_off = [outcome for outcome in outcomes if isinstance(outcome, PutOff)]
    _bury(tx, dead)
    gone = sorted([*delivered, *(outcome.event.row_id for outcome in dead)])
    tx.later("DELETE FROM outbox WHERE id = ANY(%s)", [gone])
    tx.later(
        """
        UPDATE outbox o SET available_at = %s + later.wait,
            attempts = CASE WHEN later.counts THEN o.attempts + 1 ELSE greatest(o.attempts, 1) END
        FROM unnest(%s::bigint[], %s::interval[], %s::boolean[]) AS later (id, wait, counts) WHERE o.id = later.id
        """,
        [
            tx.now,
            [outcome.event.row_id for outcome in put_off],
            [outcome.wait for outcome in put_off],
            [outcome.counts for outcome in put_off],
        ],
    )
    return [None] * len(outcomes)


def _bury(tx: Transaction, dead: Sequence[Dead]) -> None:
    for outcome in dead:
        event = outcome.event
        headers = {"subject": event.subject, "sequence": event.sequence, "traceparent": event.traceparent}
        tx.later(
            """
            INSERT INTO dead_letters
                (id, event_id, topic, type, partition_key, headers, body, reason, dead_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                new_id("dlt"),
                event.event_id,
                event.topic,
                event.type,
                event.partition_key,
                json.dumps(headers),
                json.dumps(event.data).encode(),
                outcome.reason,
                tx.now,
            ],
        )


class Replay(Value, kw_only=True):
    """One dead letter by id, or all that wait. `repair`: what is noted about each."""

    repair: Repair
    id: str | None = None


async def replay_dead_letters(tx: Transaction, wanted: Sequence[Replay]) -> list[int]:
    """Put dead letters back into the outbox, under their old event id: a door that took one before drops it."""
    answers = []
    for want in wanted:
        rows = await tx.fetch(
            """
            UPDATE dead_letters SET replayed_at = %s
            WHERE replayed_at IS NULL AND dismissed_at IS NULL AND event_id IS NOT NULL AND (%s::text IS NULL OR id = %s)
            RETURNING id, event_id, topic, type, partition_key, headers, body
            """,
            [await tx.clock(), want.id, want.id],
        )
        for id_, event_id, topic, kind, key, headers, body in rows:
            tx.later(repairs.INSERT, want.repair.row(id_))
            tx.later(_RETURN, [event_id, topic, kind, headers["subject"], headers["sequence"], key,
                               shard_of(key), body.decode(), headers["traceparent"], tx.now, tx.now])  # fmt: skip
        answers.append(len(rows))
    return answers


_RETURN = """
    INSERT INTO outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, traceparent,
                        created_at, available_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
