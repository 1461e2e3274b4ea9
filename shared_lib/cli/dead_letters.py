"""`boxoffice dead-letters list|show|replay|dismiss`: events that no door took, and sending them again after a repair.

There are two stores: the relay's table (ids `dlt_...`) and the triggers' topic (ids `billing.dead-letters/0/17`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Final

from kafka.errors import KafkaError
from rich.console import RenderableType

from shared_lib.cli.terminal import (
    CannotError,
    Output,
    by_name,
    connected,
    database_url,
    kafka_bootstrap,
    moment,
    note,
    repair_by,
    table,
)
from shared_lib.contract.events import DEAD_LETTERS
from shared_lib.phases.outgoing import Replay, replay_dead_letters
from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.store.repairs import Repair
from shared_lib.visible import on_one_line
from shared_lib.workers.trigger import letterbox
from shared_lib.workers.trigger.letters import Letter

_NAMES: Final = ("id", "died_at", "type", "customer", "reason")
_REASON_CHARS_MAX: Final = 100
ROWS_MAX: Final = 200
_WAIT: Final = "FROM dead_letters WHERE replayed_at IS NULL AND dismissed_at IS NULL"
_WAITING: Final = (
    f"SELECT id, dead_at, coalesce(type, '-'), partition_key, reason {_WAIT} AND id > %s ORDER BY id LIMIT %s"
)
_COUNT: Final = f"SELECT count(*) {_WAIT}"


Line = tuple[str, datetime, str, str, str]


def waiting(after: str | None = None) -> tuple[list[Line], int]:
    """Those of both stores, oldest first, and how many there are; of the database at most ROWS_MAX, behind the id `after`.

    Raises CannotError when a store does not answer.
    """
    with connected() as db:
        rows = db.execute(_WAITING.encode(), [after or "", ROWS_MAX]).fetchall()
        ((count,),) = db.execute(_COUNT.encode()).fetchall()
    found: list[Line] = [(row[0], row[1], row[2], row[3], row[4]) for row in rows]
    letters = [] if after else [*map(_line, _letters())]
    return sorted([*found, *letters], key=lambda line: line[1]), count + len(letters)


def show_all(after: str | None = None) -> Output:
    found, count = waiting(after)
    if not found:
        return Output(["No dead letters."], [])
    told = [(id_, moment(at), kind, key, reason[:_REASON_CHARS_MAX]) for id_, at, kind, key, reason in found]
    parts: list[RenderableType] = [table(("id", "died (UTC)", "type", "customer", "reason"), told)]
    mine = [id_ for id_, *_ in found if "/" not in id_]
    if len(mine) == ROWS_MAX:
        parts.append(f"{count} wait; there may be later ones: --after {max(mine)}")
    return Output(parts, by_name(_NAMES, found))


def show(id_: str) -> Output:
    if "/" in id_:
        return _show_letter(_letter(id_))
    with connected() as db:
        row = db.execute(
            "SELECT type, event_id, topic, partition_key, dead_at, replayed_at, dismissed_at, reason, headers, body"
            " FROM dead_letters WHERE id = %s",
            [id_],
        ).fetchone()
    if row is None:
        raise CannotError(f"There is no dead letter {id_}.")
    kind, event_id, topic, key, dead_at, replayed_at, dismissed_at, reason, headers, body = row
    lines = [
        f"{kind}  {event_id}  of {topic} for {key}",
        f"died {moment(dead_at)}, replayed {moment(replayed_at)}, dismissed {moment(dismissed_at)}",
    ]
    lines += [f"reason: {reason}", f"headers: {json.dumps(headers)}"]
    data = {"id": id_, "type": kind, "event_id": event_id, "topic": topic, "customer": key, "died_at": dead_at,
            "replayed_at": replayed_at, "dismissed_at": dismissed_at, "reason": reason, "headers": headers,
            "body": _parsed(bytes(body))}  # fmt: skip
    return Output([*map(on_one_line, lines), _readable(bytes(body))], data)


def replay(id_: str | None, *, by: str | None = None, because: str | None = None) -> Output:
    """Send again with the same event id, so that a consumer that took it before drops it. `id_` None: all that wait."""
    repair = repair_by(by, "replay", because)
    if id_ and "/" in id_:
        return _replay_letters([_letter(id_)], repair)
    count = asyncio.run(_replay(Replay(id=id_, repair=repair)))
    if id_ and not count:
        raise CannotError(f"There is no dead letter {id_} that waits; see `boxoffice dead-letters list`.")
    report = f"{count} put back into the outbox; the relay delivers them now."
    if id_ or not (letters := _letters()):
        return Output([report], {"into_outbox": count, "produced": 0})
    return Output(
        [report, *_replay_letters(letters, repair).parts], {"into_outbox": count, "produced": len(letters)}
    )


def dismiss(id_: str, because: str, *, by: str | None = None) -> Output:
    """It is not sent again, and no longer counted. The event itself is kept."""
    repair = repair_by(by, "dismiss", because)
    letter = _letter(id_) if "/" in id_ else None
    with connected() as db:
        note(db, repair, id_)
        if letter:
            _produced(lambda: letterbox.dismiss(kafka_bootstrap(), letter, because))
        elif not db.execute(
            "UPDATE dead_letters SET dismissed_at = boxoffice_now()"
            " WHERE id = %s AND replayed_at IS NULL AND dismissed_at IS NULL RETURNING id",
            [id_],
        ).fetchone():
            raise CannotError(f"There is no dead letter {id_} that waits; see `boxoffice dead-letters list`.")
    return Output([f"{id_} is dismissed: {on_one_line(because)}"], {"id": id_, "because": because})


async def _replay(wanted: Replay) -> int:
    pool = connection_pool(database_url(), connections_max=1, bounded=False)
    await pool.open()
    try:
        return await Batcher(pool, writers=1).run(replay_dead_letters, wanted)
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


def _line(letter: Letter) -> tuple[str, datetime, str, str, str]:
    return _id(letter), letter.died_at, letter.headers.get("ce_type", "-"), _key(letter), letter.reason


def _key(letter: Letter) -> str:
    return "-" if letter.key is None else letter.key.decode(errors="replace")


def _show_letter(letter: Letter) -> Output:
    said = letter.headers.get
    where = f"partition {said('dead_partition', '-')}, offset {said('dead_offset', '-')}"
    lines = [
        f"{said('ce_type', 'no CloudEvent')}  {said('ce_id', '-')}  of {letter.topic} for {_key(letter)}",
        where,
        f"died {moment(letter.died_at)}",
        f"reason: {letter.reason or '-'}",
        f"headers: {json.dumps(letter.headers, ensure_ascii=False)}",
    ]
    body = letter.record.value or b""
    data = {"id": _id(letter), "type": said("ce_type"), "event_id": said("ce_id"), "topic": letter.topic,
            "customer": _key(letter), "died_at": letter.died_at, "reason": letter.reason, "headers": letter.headers,
            "body": _parsed(body)}  # fmt: skip
    return Output([*map(on_one_line, lines), _readable(body)], data)


def _replay_letters(letters: list[Letter], repair: Repair) -> Output:
    with connected() as db:
        note(db, repair, *map(_id, letters))
        _produced(lambda: letterbox.replay(kafka_bootstrap(), letters))
    says = f"{len(letters)} produced again; the triggers deliver them now."
    return Output([says], {"into_outbox": 0, "produced": len(letters)})


def _produced(work: Callable[[], None]) -> None:
    try:
        work()
    except (KafkaError, OSError) as error:
        raise CannotError(f"Kafka did not take all of them: {type(error).__name__}. Try again.") from None


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return repr(body)


def _readable(body: bytes) -> str:
    found = _parsed(body)
    return found if isinstance(found, str) else json.dumps(found, indent=2, ensure_ascii=False)
