"""One key, one execution: the first answer is kept for 24 hours and replayed, whatever it was."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from infra.sandbox.core import KEY_LIFETIME_US, Moment, Refused
from infra.sandbox.database import one

KEY_MAX = 255


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]
    replayed: bool = False


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Of what was asked. JSON is compared by value: the order of its keys does not matter."""
    try:
        canonical = json.dumps(json.loads(body or b"{}"), sort_keys=True).encode()
    except ValueError:
        canonical = body
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), canonical))).hexdigest()


def kept(at: Moment, key: str, asked: str) -> Answer | None:
    """The answer this key got before. Raises Refused when it was another question."""
    row = one(at.tx, "SELECT * FROM answers WHERE key = ?", key)
    if row is None:
        return None
    if row["created_at"] + KEY_LIFETIME_US <= at.now:
        at.tx.execute("DELETE FROM answers WHERE key = ?", (key,))
        return None
    if row["asked"] != asked:
        message = "This key was used with other parameters."
        raise Refused(400, "idempotency_mismatch", message, kind="idempotency_error")
    return Answer(row["status"], json.loads(row["body"]), replayed=True)


def keep(at: Moment, key: str, asked: str, answer: Answer) -> None:
    at.tx.execute(
        "INSERT INTO answers VALUES (?,?,?,?,?)", (key, asked, answer.status, json.dumps(answer.body), at.now)
    )
