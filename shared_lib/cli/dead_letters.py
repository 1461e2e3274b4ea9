"""`boxoffice dead-letters list|show|replay`: what nobody could take, and sending it again once that is mended."""

from __future__ import annotations

import asyncio
import json

from shared_lib.cli.terminal import CannotError, connected, database_url, moment, printed
from shared_lib.phases.outgoing import Replay, replay_dead_letters
from shared_lib.store.batch import Batcher, connection_pool


def show_all() -> str:
    with connected() as db:
        rows = db.execute(
            "SELECT id, dead_at, type, partition_key, reason FROM dead_letters WHERE replayed_at IS NULL ORDER BY dead_at"
        ).fetchall()
    if not rows:
        return "No dead letters."
    return printed(
        ("id", "died (UTC)", "type", "customer", "reason"),
        [(row[0], moment(row[1]), row[2], row[3], str(row[4])[:100]) for row in rows],
    )


def show(id_: str) -> str:
    with connected() as db:
        row = db.execute(
            "SELECT type, event_id, topic, partition_key, dead_at, replayed_at, reason, headers, body"
            " FROM dead_letters WHERE id = %s",
            [id_],
        ).fetchone()
    if row is None:
        raise CannotError(f"There is no dead letter {id_}.")
    kind, event_id, topic, key, dead_at, replayed_at, reason, headers, body = row
    lines = [
        f"{kind}  {event_id}  of {topic} for {key}",
        f"died {moment(dead_at)}, replayed {moment(replayed_at)}",
    ]
    lines += [f"reason: {reason}", f"headers: {json.dumps(headers)}", _readable(bytes(body))]
    return "\n".join(lines)


def replay(id_: str | None) -> str:
    """Put back into the outbox under the old event id: whoever took it before drops it."""
    count = asyncio.run(_replay(id_))
    if id_ and not count:
        raise CannotError(f"There is no dead letter {id_} that waits; see `boxoffice dead-letters list`.")
    return f"{count} put back into the outbox; the relay delivers them now."


async def _replay(id_: str | None) -> int:
    pool = connection_pool(database_url(), connections_max=1)
    await pool.open()
    try:
        return await Batcher(pool, writers=1).run(replay_dead_letters, Replay(id=id_))
    finally:
        await pool.close()


def _readable(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return repr(body)
