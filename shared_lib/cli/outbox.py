"""`boxoffice outbox`: events not delivered yet, for how long, and the relays. Exit status 1 when they are stuck."""

from __future__ import annotations

from typing import Any, Final

from rich.console import RenderableType

from shared_lib.cli.terminal import Connection, Output, by_name, connected, table, words
from shared_lib.store.outbox import SHARDS
from shared_lib.workers.shards import LOCK_CLASS, PRESENCE_CLASS

# A relay takes a ready event within a fraction of a second; a person should look at a wait of this length.
STUCK_S: Final = 30

_BY_TYPE = """
    SELECT topic, type,
           count(*) FILTER (WHERE available_at <= now),
           extract(epoch FROM max(now - available_at) FILTER (WHERE available_at <= now))::int,
           count(*) FILTER (WHERE available_at > now AND attempts = 0),
           count(*) FILTER (WHERE attempts > 0), max(attempts)
    FROM outbox, (SELECT boxoffice_now() AS now) AS clock GROUP BY topic, type ORDER BY 3 DESC, topic, type
"""
_OLDEST = (
    "SELECT shard, extract(epoch FROM boxoffice_now() - min(available_at))::int FROM outbox GROUP BY shard"
)
_OWNERS = """
    SELECT locks.pid, array_agg(locks.objid::int ORDER BY locks.objid) FILTER (WHERE locks.classid = %(shard)s),
           coalesce(host(activity.client_addr), 'local')
    FROM pg_locks locks LEFT JOIN pg_stat_activity activity USING (pid)
    WHERE locks.locktype = 'advisory' AND locks.granted AND locks.classid IN (%(shard)s, %(presence)s)
      AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY locks.pid, activity.client_addr ORDER BY locks.pid
"""


def show() -> Output:
    """Whether events are being delivered, and the figures."""
    with connected() as db:
        kinds = db.execute(_BY_TYPE).fetchall()
        owners = db.execute(_OWNERS, {"shard": LOCK_CLASS, "presence": PRESENCE_CLASS}).fetchall()
        waits = _stuck(db, {shard for _, shards, _ in owners for shard in shards or ()})
    ready = sum(row[2] for row in kinds)
    oldest_s = max((row[3] or 0 for row in kinds), default=0)
    later, again = sum(row[4] for row in kinds), sum(row[5] for row in kinds)
    parts: list[RenderableType] = [
        f"{ready} ready, the oldest for {oldest_s} s; {later} wait for a later time; {again} are being retried.",
        *_relays(owners),
    ]
    if kinds:
        parts += [
            "",
            table(("topic", "type", "ready", "oldest (s)", "later", "retried", "most attempts"), kinds),
        ]
    parts += ["", *(words(wait, "red") for wait in waits)] if waits else []
    data = {
        "ready": ready,
        "oldest_s": oldest_s,
        "events": by_name(("topic", "type", "ready", "oldest_s", "later", "retried", "most_attempts"), kinds),
        "relays": [{"pid": pid, "host": host, "shards": shards or []} for pid, shards, host in owners],
        "stuck": waits,
    }
    return Output(parts, data, not waits)


def _relays(owners: list[Any]) -> list[str]:
    if not owners:
        return ["No relay is connected."]
    return [
        f"Relay {pid} ({host}): shards {', '.join(map(str, shards)) if shards else 'none'}"
        for pid, shards, host in owners
    ]


def _stuck(db: Connection, owned: set[int]) -> list[str]:
    """Warnings about shards that do not progress."""
    late = [(shard, waited_s) for shard, waited_s in db.execute(_OLDEST).fetchall() if waited_s > STUCK_S]
    found = []
    if orphaned := sorted(shard for shard, _ in late if shard not in owned):
        found.append(
            f"No relay works on shards {', '.join(map(str, orphaned))} of {SHARDS}: start a relay"
            " (python -m shared_lib.workers.relay)."
        )
    if held := [(shard, waited_s) for shard, waited_s in late if shard in owned]:
        worst_s = max(waited_s for _, waited_s in held)
        found.append(
            f"Stuck for {worst_s} s although a relay holds the shard: read the relay's log; is Kafka or the door reachable?"
        )
    return found
