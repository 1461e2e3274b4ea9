"""What leaves the outbox: read in order, deleted once acknowledged, put off when it must wait, kept when it is dead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared_lib.ids import new_id
from shared_lib.store.outbox import READ_IN_ORDER, shard_of
from shared_lib.store.transaction import Row, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One row of the outbox."""

    row_id: int
    event_id: str
    topic: str
    type: str
    subject: str
    sequence: int | None
    partition_key: str
    data: dict[str, Any]
    traceparent: str | None
    created_at: datetime
    attempts: int

    @property
    def lane(self) -> tuple[str, str]:
        """Events of one lane are delivered one after the other."""
        return self.topic, self.partition_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Which events to read: those of these shards, but not of lanes that are being worked on."""

    shards: Sequence[int]
    busy: Sequence[tuple[str, str]] = ()
    limit: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    event: Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """Not now. `counts` is False when nobody was there to take it: that is not the event's fault."""

    event: Outgoing
    wait: timedelta
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """Nobody will take it as it is."""

    event: Outgoing
    reason: str


_COLUMNS = (
    "id, event_id, topic, type, subject, sequence, partition_key, data, traceparent, created_at, attempts"
)


async def ready_events(tx: Transaction, ask: Ready) -> list[Outgoing]:
    """A query: what may be delivered now. Whatever is there is read, never `id > last`: ids commit out of order."""
    return [_outgoing(row) for row in await _ready(tx, ask, _COLUMNS)]


async def ready_ids(tx: Transaction, ask: Ready) -> list[int]:
    """A query: the same by row id alone, for when a value of a row cannot be read."""
    return [row[0] for row in await _ready(tx, ask, "id")]


async def events_of(tx: Transaction, row_ids: Sequence[int]) -> list[Outgoing]:
    """A query: these rows, in order."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM outbox WHERE id = ANY(%b::bigint[]) ORDER BY id", [list(row_ids)]
    )
    return [_outgoing(row) for row in rows]


async def _ready(tx: Transaction, ask: Ready, columns: str) -> list[Row]:
    await tx.ask(READ_IN_ORDER)
    now = await tx.clock()
    return await tx.fetch(
        f"""
        SELECT {columns} FROM outbox o
        WHERE shard = ANY(%s) AND available_at <= %s
          AND NOT EXISTS (SELECT FROM unnest(%b::text[], %b::text[]) AS busy (topic, key)
                          WHERE busy.topic = o.topic AND busy.key = o.partition_key)
          AND NOT EXISTS (SELECT FROM outbox e WHERE e.topic = o.topic AND e.partition_key = o.partition_key
                          AND e.attempts > 0 AND e.available_at > %s AND e.id < o.id)
        ORDER BY id LIMIT %s
        """,
        [
            list(ask.shards),
            now,
            [topic for topic, _ in ask.busy],
            [key for _, key in ask.busy],
            now,
            ask.limit,
        ],
    )


def _outgoing(row: Row) -> Outgoing:
    return Outgoing(
        row_id=row[0],
        event_id=row[1],
        topic=row[2],
        type=row[3],
        subject=row[4],
        sequence=row[5],
        partition_key=row[6],
        data=row[7],
        traceparent=row[8],
        created_at=row[9],
        attempts=row[10],
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One dead letter by id, or all that wait."""

    id: str | None = None


async def replay_dead_letters(tx: Transaction, wanted: Sequence[Replay]) -> list[int]:
    """Put dead letters back into the outbox, under their old event id: whoever took one before drops it."""
    answers = []
    for want in wanted:
        rows = await tx.fetch(
            """
            UPDATE dead_letters SET replayed_at = %s
            WHERE replayed_at IS NULL AND event_id IS NOT NULL AND (%s::text IS NULL OR id = %s)
            RETURNING event_id, topic, type, partition_key, headers, body
            """,
            [await tx.clock(), want.id, want.id],
        )
        for event_id, topic, kind, key, headers, body in rows:
            tx.later(_RETURN, [event_id, topic, kind, headers["subject"], headers["sequence"], key,
                               shard_of(key), body.decode(), headers["traceparent"], tx.now, tx.now])  # fmt: skip
        answers.append(len(rows))
    return answers


_RETURN = """
    INSERT INTO outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, traceparent,
                        created_at, available_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
