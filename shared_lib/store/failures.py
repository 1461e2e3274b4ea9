"""The last failure to get an answer from a provider, in the row of the payment or refund: for people, and decided on by no code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from shared_lib.store.transaction import Transaction

_UPDATE: Final = {
    table: f"UPDATE {table} SET last_failure = new.why, last_failure_at = %s"  # our own two names
    f" FROM unnest(%s::text[], %s::text[]) AS new (id, why) WHERE {table}.id = new.id"
    for table in ("payments", "refunds")
}


def note_failures(
    tx: Transaction, table: Literal["payments", "refunds"], failures: Sequence[tuple[str, str | None]]
) -> None:
    """Queue them: pairs of an id, whose case is locked, and why its provider gave no answer; None: it gave one."""
    if noted := {id_: why for id_, why in failures if why is not None}:
        tx.later(_UPDATE[table], [tx.now, list(noted), list(noted.values())])
