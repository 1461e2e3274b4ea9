"""Saved payment methods: read, deleted by the merchant, renewed by the card network, scripted by a test."""

from __future__ import annotations

import json
from collections.abc import Sequence

from infra.sandbox.engine.core import Change, Moment
from infra.sandbox.engine.database import Row, one
from infra.sandbox.engine.notices import notify
from infra.sandbox.engine.refusals import Reason, Refused


def method(at: Moment, id_: str) -> Row:
    row = one(at.tx, "SELECT * FROM methods WHERE id = ?", id_)
    if row is None:
        raise Refused(Reason.NOT_FOUND, "No such method.")
    return row


def delete(at: Moment, id_: str) -> Row:
    """Deleting again changes nothing and sends no second webhook."""
    method(at, id_)
    deletion = "UPDATE methods SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL"
    if at.tx.execute(deletion, (at.now, id_)).rowcount:
        notify(at, Change.METHOD_DELETED, method(at, id_))
    return method(at, id_)


def renew_card(at: Moment, id_: str, expires: str) -> Row:
    """The card network reports a new expiry date (YYYY-MM) of a saved card."""
    at.tx.execute("UPDATE methods SET expires = ? WHERE id = ?", (expires, id_))
    row = method(at, id_)
    notify(at, Change.METHOD_UPDATED, row)
    return row


def script(at: Moment, id_: str, codes: Sequence[str | None]) -> None:
    """How the next charges of this method are answered: a decline code each, None approves."""
    method(at, id_)
    at.tx.execute("UPDATE methods SET scripted = ? WHERE id = ?", (json.dumps(list(codes)), id_))
