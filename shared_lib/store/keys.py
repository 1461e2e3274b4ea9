"""The promise "one key, one effect", kept by PostgreSQL in the transaction of the effect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared_lib.billing.replies import Key, SavedReply
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.values import Value
from shared_lib.store.bulk import array_literal
from shared_lib.store.kept_replies import packed, unpacked
from shared_lib.store.transaction import Row, Transaction

# Longer than any invocation may take: while the lease runs, its owner may still answer.
LEASE = timedelta(seconds=30)
KEEP = timedelta(hours=72)  # a bug of Friday night can be mended on Monday

_IN_FLIGHT = Refusal(
    Code.KEY_IN_FLIGHT, "A request with this Idempotency-Key is still in progress.", retry_after_s=1
)
_REUSED = Refusal(Code.KEY_REUSED, "This Idempotency-Key was used for a different request.")


class Fresh(Value):
    """Never seen: go on. The key now names `resource_id`."""


class Resume(Value):
    """Its first owner died before answering: go on from what it committed."""

    resource_id: str


KeyState = Fresh | Resume | SavedReply | Refusal
FRESH = Fresh()


async def claim_keys(tx: Transaction, wanted: Sequence[tuple[Key, str]]) -> list[KeyState]:
    """Claim each (key, id of the resource it would make), in order. The same key twice in a batch is in flight."""
    first: dict[tuple[str, str, str], tuple[Key, str]] = {}
    for key, resource_id in wanted:
        first.setdefault(key.address, (key, resource_id))
    # Sorted, so that two batches with the same keys wait for each other instead of deadlocking.
    claims = [first[address] for address in sorted(first)]
    inserted = set(await _insert(tx, claims))
    known = [key for key, _ in claims if key.address not in inserted]
    rows = await _lock(tx, known) if known else {}
    owners: dict[tuple[str, str, str], Key] = {address: first[address][0] for address in inserted}
    answers: list[KeyState] = []
    for key, resource_id in wanted:
        owner = owners.get(key.address)
        if owner is None:
            # Each is compared with what is kept, not with its neighbour in the batch.
            state = _kept(tx, key, rows.get(key.address))
            if isinstance(state, Resume):
                owners[key.address] = key
            answers.append(state)
        elif owner.fingerprint != key.fingerprint:
            answers.append(_REUSED)
        elif (owner, resource_id) == first[key.address] and key.address in inserted:
            answers.append(FRESH)
        else:
            answers.append(_IN_FLIGHT)
    return answers


async def look_at_keys(tx: Transaction, keys: Sequence[Key]) -> list[KeyState]:
    """What is known of keys, without claiming any: a saved reply, a refusal, or free to be claimed."""
    rows = await tx.fetch(
        """
        SELECT k.customer_id, k.route, k.key, k.fingerprint, k.locked_until,
               k.reply, k.reply_status, k.reply_body, k.reply_location
        FROM idempotency_keys k
        JOIN unnest(%s::text[], %s::text[], %s::text[]) AS asked (customer_id, route, key)
            USING (customer_id, route, key)
        """,
        _addresses(keys),
    )
    known = {(customer_id, route, key): tuple(state) for customer_id, route, key, *state in rows}
    return [_state_of(key, known.get(key.address), tx.now) for key in keys]


def _state_of(key: Key, row: Row | None, now: datetime) -> KeyState:
    if row is None:
        return FRESH
    fingerprint, locked_until, *reply = row
    if fingerprint != key.fingerprint:
        return _REUSED
    if saved := _saved(*reply):
        return saved
    return _IN_FLIGHT if locked_until > now else FRESH


def _saved(kept: bytes | None, status: int | None, body: bytes, location: str | None) -> SavedReply | None:
    """The reply of a row. Before migration 0013 it stood in three columns, as it was."""
    if kept is not None:
        return unpacked(kept)
    return None if status is None else SavedReply(status, body, location)


def _addresses(keys: Sequence[Key]) -> list[str]:
    columns = zip(*(key.address for key in keys), strict=True)
    return [array_literal(column) for column in columns]


async def _insert(tx: Transaction, claims: Sequence[tuple[Key, str]]) -> list[tuple[str, str, str]]:
    rows = await tx.fetch(
        """
        INSERT INTO idempotency_keys
            (customer_id, route, key, fingerprint, resource_id, locked_until, expires_at)
        SELECT customer_id, route, key, fingerprint, resource_id, boxoffice_now() + %s, boxoffice_now() + %s
        FROM unnest(%s::text[], %s::text[], %s::text[], %b::bytea[], %s::text[])
            AS new (customer_id, route, key, fingerprint, resource_id)
        ON CONFLICT DO NOTHING RETURNING customer_id, route, key
        """,
        [
            LEASE,
            KEEP,
            *_addresses([key for key, _ in claims]),
            [key.fingerprint for key, _ in claims],
            array_literal([resource_id for _, resource_id in claims]),
        ],
    )
    return [(customer_id, route, key) for customer_id, route, key in rows]


async def _lock(tx: Transaction, keys: Sequence[Key]) -> dict[tuple[str, str, str], Row]:
    """Lock and read the rows of keys that an earlier request claimed."""
    rows = await tx.fetch(
        """
        SELECT k.customer_id, k.route, k.key, k.fingerprint, k.resource_id, k.locked_until,
               k.reply, k.reply_status, k.reply_body, k.reply_location
        FROM idempotency_keys k
        JOIN unnest(%s::text[], %s::text[], %s::text[]) AS asked (customer_id, route, key)
            USING (customer_id, route, key)
        ORDER BY k.customer_id, k.route, k.key FOR UPDATE OF k
        """,
        _addresses(keys),
    )
    return {(customer_id, route, key): tuple(state) for customer_id, route, key, *state in rows}


def _kept(tx: Transaction, key: Key, row: Row | None) -> KeyState:
    if row is None:  # released since we tried to insert it: its next request finds it free
        return _IN_FLIGHT
    fingerprint, resource_id, locked_until, *reply = row
    if fingerprint != key.fingerprint:
        return _REUSED
    if saved := _saved(*reply):
        return saved
    if locked_until > tx.now:
        return _IN_FLIGHT
    tx.later(
        "UPDATE idempotency_keys SET locked_until = %s WHERE customer_id = %s AND route = %s AND key = %s",
        [tx.now + LEASE, *key.address],
    )
    return Resume(resource_id)


def release_keys(tx: Transaction, keys: Sequence[Key]) -> None:
    """Forget keys whose request was refused: it changed nothing, so the same key may try again."""
    if keys:
        tx.later(
            """
            DELETE FROM idempotency_keys k USING unnest(%s::text[], %s::text[], %s::text[]) AS gone (c, r, k)
            WHERE (k.customer_id, k.route, k.key) = (gone.c, gone.r, gone.k)
            """,
            _addresses(keys),
        )


def save_replies(tx: Transaction, replies: Sequence[tuple[Key, SavedReply]]) -> None:
    """Keep the bytes of each first answer, in the transaction of the outcome that it reports."""
    if replies:
        tx.later(
            """
            UPDATE idempotency_keys k SET reply = new.reply
            FROM unnest(%s::text[], %s::text[], %s::text[], %b::bytea[]) AS new (c, r, k, reply)
            WHERE (k.customer_id, k.route, k.key) = (new.c, new.r, new.k) AND k.reply IS NULL AND k.reply_status IS NULL
            """,
            [*_addresses([key for key, _ in replies]), [packed(reply) for _, reply in replies]],
        )
