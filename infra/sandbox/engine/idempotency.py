"""One key, one execution: the first answer, a refusal too, is kept for 24 hours and replayed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from infra.sandbox.engine.clock import SECOND_US
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import one
from infra.sandbox.engine.refusals import Reason, Refused

KEY_MAX = 255
KEY_LIFETIME_US = 24 * 3600 * SECOND_US


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]
    replayed: bool = False


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Identifies a request. JSON is compared by value: the order of its keys does not matter."""
    try:
        canonical = json.dumps(json.loads(body or b"{}"), sort_keys=True).encode()
    except ValueError:
        canonical = body
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), canonical))).hexdigest()


def saved_answer(at: Moment, key: str, asked: str) -> Answer | None:
    """The answer this key got before. Raises Refused when it belonged to another request."""
    row = one(at.tx, "SELECT * FROM answers WHERE key = ?", key)
    if row is None:
        return None
    if row["created_at"] + KEY_LIFETIME_US <= at.now:
        at.tx.execute("DELETE FROM answers WHERE key = ?", (key,))
        return None
    if row["asked"] != asked:
        raise Refused(Reason.KEY_REUSED, "This key was used with other parameters.")
    return Answer(row["status"], json.loads(row["body"]), replayed=True)


def save_answer(at: Moment, key: str, asked: str, answer: Answer) -> None:
    at.tx.execute(
        "INSERT INTO answers VALUES (?,?,?,?,?)", (key, asked, answer.status, json.dumps(answer.body), at.now)
    )
