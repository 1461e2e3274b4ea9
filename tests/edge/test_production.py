"""What a door refuses to start with in production."""

from __future__ import annotations

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from infra.servers.access import role_url
from shared_lib.processes import Role
from shared_lib.queries.health import refuse_power_over_the_ledger
from shared_lib.store.transaction import snapshot


async def asks(url: str) -> None:
    async with (
        AsyncConnectionPool(url, kwargs={"autocommit": True}, open=False) as pool,
        pool.connection() as connection,
        snapshot(connection) as tx,
    ):
        await refuse_power_over_the_ledger(tx, None)


@pytest.mark.parametrize("role", [Role.OWNER, None])
async def test_a_door_does_not_start_as_a_role_that_may_change_the_ledger(
    database_url: str, role: Role | None
) -> None:
    url = role_url(database_url, role) if role else database_url
    with pytest.raises(
        RuntimeError, match="may change the ledger: in production a function connects as boxoffice_door"
    ):
        await asks(url)


@pytest.mark.parametrize("role", [Role.DOOR, Role.RELAY])
async def test_it_starts_under_its_own_role(database_url: str, role: Role) -> None:
    with psycopg.connect(role_url(database_url, role)) as db:
        assert db.execute("SELECT current_user::text").fetchone() == (role,)
    await asks(role_url(database_url, role))
