"""Webhooks to be sent: one event row in the transaction of its cause, one delivery per endpoint.

A rule, set through the control surface, disturbs the next deliveries: duplicate, delay, hold (to release in another
order), drop.
"""

from __future__ import annotations

import fnmatch
import json
from enum import StrEnum
from typing import Any, TypedDict

from infra.sandbox.engine.clock import wall_s
from infra.sandbox.engine.core import NATIVE, Change, Moment
from infra.sandbox.engine.database import Row, Tx, many, one, set_setting, setting
from infra.sandbox.engine.refusals import Reason, Refused


class Mode(StrEnum):
    DUPLICATE = "duplicate"
    DELAY = "delay"
    HOLD = "hold"
    DROP = "drop"


class Rule(TypedDict):
    mode: str
    types: str  # glob of event types
    times: int | None  # None: until it is cleared
    delay_ms: int


def notify(at: Moment, change: Change, row: Row) -> None:
    """Queue the webhooks about `row` for every enabled endpoint of its face."""
    face = _face_of(at.tx, change, row)
    for event in at.webhooks[face].events(at, change, row):
        rule = _rule_for(at.tx, event.type)
        values = (event.id, face, event.type, event.body, at.now)
        at.tx.execute("INSERT INTO events (id, face, type, body, created_at) VALUES (?,?,?,?,?)", values)
        for endpoint in many(at.tx, "SELECT id FROM endpoints WHERE enabled AND face = ?", face):
            _queue(at.tx, event.id, endpoint["id"], rule)


def deliveries(tx: Tx) -> list[dict[str, Any]]:
    """The last 200 deliveries, newest first."""
    rows = many(
        tx,
        "SELECT e.id, e.type, d.state, d.attempts, d.last_answer, e.body FROM deliveries d"
        " JOIN events e ON e.id = d.event ORDER BY d.seq DESC LIMIT 200",
    )
    return [dict(row) | {"body": json.loads(row["body"])} for row in rows]


def redeliver(tx: Tx, event_id: str) -> None:
    """Send an event again, with the same id and body, to every enabled endpoint that got it."""
    if one(tx, "SELECT 1 FROM events WHERE id = ?", event_id) is None:
        raise Refused(Reason.NOT_FOUND, "No such event.")
    got = (
        "SELECT id FROM endpoints WHERE enabled AND face IN (SELECT p.face FROM deliveries d"
        " JOIN endpoints p ON p.id = d.endpoint WHERE d.event = ?)"
    )
    for endpoint in many(tx, got, event_id):
        _queue(tx, event_id, endpoint["id"], None)


def set_rule(tx: Tx, rule: Rule | None) -> None:
    set_setting(tx, "webhook_rule", rule)


def add_endpoint(tx: Tx, url: str, secret: str, face: str = NATIVE) -> None:
    """Add or renew. An endpoint that answered 410 is enabled again. One address serves one face."""
    tx.execute(
        "INSERT INTO endpoints (url, secret, face) VALUES (?, ?, ?)"
        " ON CONFLICT (url) DO UPDATE SET secret = excluded.secret, face = excluded.face, enabled = 1",
        (url, secret, face),
    )


def move_endpoint(tx: Tx, url: str, secret: str, face: str = NATIVE) -> None:
    """Make `url` the only endpoint of the face. Deliveries that wait for its others go to it: the merchant has moved."""
    add_endpoint(tx, url, secret, face)
    tx.execute(
        "UPDATE deliveries SET endpoint = (SELECT id FROM endpoints WHERE url = ?) WHERE state IN ('waiting', 'held')"
        " AND endpoint IN (SELECT id FROM endpoints WHERE face = ?)",
        (url, face),
    )
    tx.execute("UPDATE endpoints SET enabled = 0 WHERE url <> ? AND face = ?", (url, face))


def _face_of(tx: Tx, change: Change, row: Row) -> str:
    """The face of a payment or a saved method; a refund has that of its payment."""
    if change is Change.REFUND:
        paid = one(tx, "SELECT face FROM payments WHERE id = ?", row["payment"])
        assert paid is not None
        return str(paid["face"])
    return str(row["face"])


def _queue(tx: Tx, event: str, endpoint: int, rule: Rule | None) -> None:
    mode = None if rule is None else Mode(rule["mode"])
    delay_s = rule["delay_ms"] / 1000 if rule and mode is Mode.DELAY else 0.0
    state = {Mode.HOLD: "held", Mode.DROP: "dropped"}.get(mode, "waiting") if mode else "waiting"
    for _ in range(2 if mode is Mode.DUPLICATE else 1):
        tx.execute(
            "INSERT INTO deliveries (event, endpoint, state, due_wall_s) VALUES (?,?,?,?)",
            (event, endpoint, state, wall_s() + delay_s),
        )


def _rule_for(tx: Tx, type_: str) -> Rule | None:
    """The rule if it applies to this event; each use counts."""
    rule: Rule | None = setting(tx, "webhook_rule")  # type: ignore[assignment]  # written by set_rule alone
    if rule is None or not fnmatch.fnmatchcase(type_, rule["types"]):
        return None
    if rule["times"] is not None:
        rule["times"] -= 1
        set_rule(tx, rule if rule["times"] > 0 else None)
    return rule
