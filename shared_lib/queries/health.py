"""Questions about the database itself: whether it serves, and what waits in it."""

from __future__ import annotations

from shared_lib.store.transaction import Transaction


async def serves(tx: Transaction, _: None) -> bool:
    """Whether PostgreSQL answers and has our schema."""
    return bool(await tx.fetch("SELECT 1 FROM idempotency_keys WHERE false") == [])


async def refuse_test_clock(tx: Transaction, _: None) -> None:
    """A test clock in production would bill customers for a time that has not come."""
    if await tx.fetch("SELECT 1 FROM test_clock"):
        raise RuntimeError("this database has a test clock: it cannot be used in production")


async def refuse_power_over_the_ledger(tx: Transaction, _: None) -> None:
    """The owner of the tables and a superuser can switch off what keeps the ledger append-only: no door runs as one."""
    rows = await tx.fetch("SELECT current_user::text WHERE has_table_privilege('ledger_entries', 'UPDATE')")
    if rows:
        raise RuntimeError(
            f"the database role {rows[0][0]} may change the ledger: in production a function connects as boxoffice_door"
        )


async def backlog(tx: Transaction, _: None) -> dict[str, int]:
    """What waits, for the log line an alarm looks at. Seconds are those of the oldest."""
    rows = await tx.fetch(
        """
        SELECT (SELECT count(*) FROM outbox WHERE available_at <= %(now)s),
               (SELECT coalesce(extract(epoch FROM %(now)s - min(available_at)), 0)::int FROM outbox
                WHERE available_at <= %(now)s),
               (SELECT count(*) FROM payments WHERE status = 'unknown'),
               (SELECT count(*) FROM inbox WHERE status = 'parked'),
               (SELECT count(*) FROM inbox WHERE status = 'orphaned'),
               (SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL AND dismissed_at IS NULL),
               (SELECT count(*) FROM set_aside)
        """,
        {"now": await tx.clock()},
    )
    names = (
        "outbox",
        "outbox_oldest_s",
        "unknown_payments",
        "parked",
        "orphaned",
        "dead_letters",
        "set_aside",
    )
    return dict(zip(names, rows[0], strict=True))
