"""What the merchant is told: one event row in the transaction of its cause, one delivery per endpoint.

A rule, set through the control surface, disturbs the next deliveries: duplicate, delay, hold (to release in another
order), drop.
"""

from __future__ import annotations

import fnmatch
import json
from enum import StrEnum
from typing import Any, TypedDict

from infra.sandbox.core import Moment, iso, new_id, wall_s
from infra.sandbox.database import Tx, many, set_setting, setting


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


def emit(at: Moment, type_: str, view: dict[str, Any]) -> None:
    id_, rule = new_id("evt"), _rule_for(at.tx, type_)
    body = json.dumps({"type": type_, "timestamp": iso(at.now), "data": view}, separators=(",", ":"))
    at.tx.execute(
        "INSERT INTO events (id, type, body, created_at) VALUES (?,?,?,?)", (id_, type_, body, at.now)
    )
    for endpoint in many(at.tx, "SELECT id FROM endpoints WHERE enabled"):
        _queue(at.tx, id_, endpoint["id"], rule)


def set_rule(tx: Tx, rule: Rule | None) -> None:
    set_setting(tx, "webhook_rule", rule)


def add_endpoint(tx: Tx, url: str, secret: str) -> None:
    """Add or renew. An endpoint that answered 410 is enabled again."""
    tx.execute(
        "INSERT INTO endpoints (url, secret) VALUES (?, ?)"
        " ON CONFLICT (url) DO UPDATE SET secret = excluded.secret, enabled = 1",
        (url, secret),
    )


def move_endpoint(tx: Tx, url: str, secret: str) -> None:
    """Let `url` be the only endpoint, and take over what waits for the others: the merchant has moved."""
    add_endpoint(tx, url, secret)
    tx.execute(
        "UPDATE deliveries SET endpoint = (SELECT id FROM endpoints WHERE url = ?) WHERE state IN ('waiting', 'held')",
        (url,),
    )
    tx.execute("UPDATE endpoints SET enabled = 0 WHERE url <> ?", (url,))


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
    """The rule if it concerns this event; each use counts."""
    rule: Rule | None = setting(tx, "webhook_rule")  # type: ignore[assignment]  # written by set_rule alone
    if rule is None or not fnmatch.fnmatchcase(type_, rule["types"]):
        return None
    if rule["times"] is not None:
        rule["times"] -= 1
        set_rule(tx, rule if rule["times"] > 0 else None)
    return rule
