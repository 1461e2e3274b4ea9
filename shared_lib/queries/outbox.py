"""The outbox as the relays see it: rows to deliver, in order. What is there is read, never `id > last`: ids commit out of
order. Reading begins at a floor that no row is committed below (floor.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from shared_lib.domain.values import Value
from shared_lib.queries.floor import NO_FLOOR, Floor
from shared_lib.store.codec import Codec
from shared_lib.store.outbox import READ_IN_ORDER, OutboxRow, Outgoing
from shared_lib.store.transaction import Row, Transaction

# Kafka's relay takes the JSON as it is; the HTTP relay takes the value.
_ROW: Final = ", ".join(
    {"row_id": "outbox.id", "data": "outbox.data::text"}.get(name, f"outbox.{name}")
    for name in OutboxRow._fields
)
_OUTGOING: Final = Codec(Outgoing, "outbox", {"row_id": "outbox.id"})
_ID: Final = "outbox.id"


# ---- Kafka's relay -------------------------------------------------------------------------------------------


class ReadBatch(Value, kw_only=True):
    """Which rows to read: those of these shards, but not those on their way nor those whose topic does not exist."""

    shards: Sequence[int]
    floor: Floor = NO_FLOOR
    on_their_way: Sequence[int] = ()
    no_topics: Sequence[str] = ()
    limit: int = 1000


async def unsent(tx: Transaction, batch: ReadBatch) -> list[OutboxRow]:
    """What may be sent now, in order."""
    return [OutboxRow._make(row) for row in await _unsent(tx, batch, _ROW)]


async def unsent_ids(tx: Transaction, batch: ReadBatch) -> list[int]:
    """The same by row id alone, for when a value of a row cannot be read."""
    return [row_id for (row_id,) in await _unsent(tx, batch, _ID)]


async def unsent_of(tx: Transaction, row_ids: Sequence[int]) -> list[OutboxRow]:
    """These rows, in order."""
    return [OutboxRow._make(row) for row in await _of(tx, row_ids, _ROW)]


async def _unsent(tx: Transaction, batch: ReadBatch, columns: str) -> list[Row]:
    query = f"""
        SELECT {columns}
        FROM outbox, (SELECT boxoffice_now() AS now) AS clock
        WHERE {{where}} AND shard = ANY(%b::smallint[]) AND available_at <= now
          AND outbox.id <> ALL(%b::bigint[]) AND topic <> ALL(%b::text[])
          AND NOT EXISTS (SELECT FROM outbox e
                          WHERE e.topic = outbox.topic AND e.partition_key = outbox.partition_key
                          AND e.attempts > 0 AND e.available_at > now AND e.id < outbox.id)
        ORDER BY outbox.id LIMIT %s
    """
    values = [list(batch.shards), list(batch.on_their_way), list(batch.no_topics), batch.limit]
    return await _from_the_floor(tx, batch.floor, query, values)


async def _from_the_floor(tx: Transaction, floor: Floor, query: str, values: Sequence[Any]) -> list[Row]:
    """The rows of `query` from the floor on, after those below it that are named. `{where}` says which ids; the limit comes last."""
    await tx.ask(READ_IN_ORDER)
    named = None
    if floor.named:
        named = await tx.ask(
            query.format(where="outbox.id = ANY(%b::bigint[])"), [list(floor.named), *values]
        )
    rest = await tx.ask(query.format(where="outbox.id >= %s"), [floor.id, *values])
    first = await named.rows() if named else []
    return [*first, *await rest.rows()][: values[-1]]


# ---- the HTTP relay ------------------------------------------------------------------------------------------


class Ready(Value, kw_only=True):
    """Which events to read: those of these shards, but not of lanes that are being worked on."""

    shards: Sequence[int]
    floor: Floor = NO_FLOOR
    busy: Sequence[tuple[str, str]] = ()
    limit: int = 500


async def ready_events(tx: Transaction, ask: Ready) -> list[Outgoing]:
    """What may be delivered now, in order."""
    return [_OUTGOING.of(row) for row in await _ready(tx, ask, _OUTGOING.select)]


async def ready_ids(tx: Transaction, ask: Ready) -> list[int]:
    """The same by row id alone, for when a value of a row cannot be read."""
    return [row_id for (row_id,) in await _ready(tx, ask, _ID)]


async def events_of(tx: Transaction, row_ids: Sequence[int]) -> list[Outgoing]:
    """These rows, in order."""
    return [_OUTGOING.of(row) for row in await _of(tx, row_ids, _OUTGOING.select)]


async def _ready(tx: Transaction, ask: Ready, columns: str) -> list[Row]:
    query = f"""
        SELECT {columns} FROM outbox
        WHERE {{where}} AND shard = ANY(%s) AND available_at <= %s
          AND NOT EXISTS (SELECT FROM unnest(%b::text[], %b::text[]) AS busy (topic, key)
                          WHERE busy.topic = outbox.topic AND busy.key = outbox.partition_key)
          AND NOT EXISTS (SELECT FROM outbox e
                          WHERE e.topic = outbox.topic AND e.partition_key = outbox.partition_key
                          AND e.attempts > 0 AND e.available_at > %s AND e.id < outbox.id)
        ORDER BY outbox.id LIMIT %s
    """
    now = await tx.clock()
    topics, keys = [topic for topic, _ in ask.busy], [key for _, key in ask.busy]
    values = [list(ask.shards), now, topics, keys, now, ask.limit]
    return await _from_the_floor(tx, ask.floor, query, values)


async def _of(tx: Transaction, row_ids: Sequence[int], columns: str) -> list[Row]:
    return await tx.fetch(
        f"SELECT {columns} FROM outbox WHERE id = ANY(%b::bigint[]) ORDER BY id", [list(row_ids)]
    )
