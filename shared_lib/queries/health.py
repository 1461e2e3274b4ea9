"""Questions of a process to its database about itself."""

from __future__ import annotations

from shared_lib.store.transaction import Transaction


async def serves(tx: Transaction, _: None) -> bool:
    """Whether PostgreSQL answers and has our schema."""
    return bool(await tx.fetch("SELECT 1 FROM idempotency_keys LIMIT 0") == [])


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
