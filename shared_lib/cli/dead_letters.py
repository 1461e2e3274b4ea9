"""`boxoffice dead-letters list|show|replay`: events that no door took, and sending them again after a repair.

There are two stores: the relay's table (ids `dlt_...`) and the triggers' topic (ids `billing.dead-letters/0/17`).
"""

from __future__ import annotations

import asyncio
import json

from kafka.errors import KafkaError

from shared_lib.cli.terminal import CannotError, connected, database_url, kafka_bootstrap, moment, printed
from shared_lib.contract.events import DEAD_LETTERS
from shared_lib.phases.outgoing import Replay, replay_dead_letters
from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.visible import on_one_line
from shared_lib.workers.trigger import letterbox
from shared_lib.workers.trigger.letters import Letter


def show_all() -> str:
    with connected() as db:
        rows = db.execute(
            "SELECT id, dead_at, type, partition_key, reason FROM dead_letters WHERE replayed_at IS NULL ORDER BY dead_at"
        ).fetchall()
    found: list[tuple[str, ...]] = [
        (row[0], moment(row[1]), row[2], row[3], str(row[4])[:100]) for row in rows
    ]
    found += [_line(letter) for letter in _letters()]
    if not found:
        return "No dead letters."
    found.sort(key=lambda line: line[1])
    return printed(("id", "died (UTC)", "type", "customer", "reason"), found)


def show(id_: str) -> str:
    if "/" in id_:
        return _show_letter(_letter(id_))
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
    """Send again with the same event id, so that a consumer that took it before drops it."""
    if id_ and "/" in id_:
        return _replay_letters([_letter(id_)])
    count = asyncio.run(_replay(id_))
    if id_ and not count:
        raise CannotError(f"There is no dead letter {id_} that waits; see `boxoffice dead-letters list`.")
    report = f"{count} put back into the outbox; the relay delivers them now."
    return f"{report}\n{_replay_letters(letters)}" if not id_ and (letters := _letters()) else report


async def _replay(id_: str | None) -> int:
    pool = connection_pool(database_url(), connections_max=1, bounded=False)
    await pool.open()
    try:
        return await Batcher(pool, writers=1).run(replay_dead_letters, Replay(id=id_))
    finally:
        await pool.close()


# ---- the triggers' topic -----------------------------------------------------------------------------------------


def _letters() -> list[Letter]:
    """The letters not replayed yet; none without Kafka."""
    bootstrap = kafka_bootstrap()
    if not bootstrap:
        return []
    try:
        return letterbox.waiting(bootstrap)
    except (KafkaError, OSError) as error:
        raise CannotError(f"Kafka does not answer: {type(error).__name__}") from None


def _letter(id_: str) -> Letter:
    found = next((letter for letter in _letters() if _id(letter) == id_), None)
    if found is None:
        raise CannotError(f"There is no dead letter {id_} that waits; see `boxoffice dead-letters list`.")
    return found


def _id(letter: Letter) -> str:
    return f"{DEAD_LETTERS}/{letter.record.partition}/{letter.offset}"


def _line(letter: Letter) -> tuple[str, str, str, str, str]:
    kind = letter.headers.get("ce_type", "-")
    return _id(letter), moment(letter.died_at), kind, _key(letter), letter.reason[:100]


def _key(letter: Letter) -> str:
    return "-" if letter.key is None else letter.key.decode(errors="replace")


def _show_letter(letter: Letter) -> str:
    said = letter.headers.get
    where = f"partition {said('dead_partition', '-')}, offset {said('dead_offset', '-')}"
    lines = [
        f"{said('ce_type', 'no CloudEvent')}  {said('ce_id', '-')}  of {letter.topic} for {_key(letter)}",
        where,
        f"died {moment(letter.died_at)}",
        f"reason: {letter.reason or '-'}",
        f"headers: {json.dumps(letter.headers, ensure_ascii=False)}",
    ]
    return "\n".join([*map(on_one_line, lines), _readable(letter.record.value or b"")])


def _replay_letters(letters: list[Letter]) -> str:
    try:
        letterbox.replay(kafka_bootstrap(), letters)
    except (KafkaError, OSError) as error:
        raise CannotError(f"Kafka did not take all of them: {type(error).__name__}. Try again.") from None
    return f"{len(letters)} produced again; the triggers deliver them now."


def _readable(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return repr(body)
