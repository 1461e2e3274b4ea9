"""A door is ready once it is warm. What it asks may be away afterwards: the door then says so itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import psycopg
import pytest

from infra.servers.access import prepare, role_url
from infra.servers.postgres import EmbeddedPostgres
from shared_lib.contract.routes import DOORS
from shared_lib.processes import Role
from tests.doors.running import DoorProcess, door_process
from tests.kit.answers import assert_problem, order_body
from tests.kit.cinema import Cinema
from tests.kit.waiting import until

PROVIDER = "benchmarks.instant:InstantProvider"  # any that is not the sandbox
READY, ALIVE = ("/readyz", "/_/ready"), ("/livez", "/_/health")


async def said(door: DoorProcess, paths: tuple[str, ...]) -> set[int]:
    return {(await door.get(path)).status_code for path in paths}


async def order(cinema: Cinema, door: DoorProcess, price: str = "prc_metropolis_buy") -> httpx.Response:
    return await replace(cinema, url=door.url).call("POST", "/v1/orders", order_body(price))


@pytest.mark.parametrize("function", DOORS)
async def test_every_door_answers_the_probes_of_each_platform_without_a_proof(
    cinema: Cinema, function: str
) -> None:
    async with door_process(cinema.rt.settings, function) as door:
        await until(door.ready)
        assert await said(door, READY + ALIVE) == {200}
        assert {(await door.http.head(door.url + path)).status_code for path in READY + ALIVE} == {200}
        # Nothing but the probes themselves goes without one.
        answers = [
            await door.get(path) for path in ("/_/", "/_/health/", "/_/ready/x", "/_/events", "//livez")
        ]
        assert {answer.status_code for answer in answers} <= {400, 401, 404, 405}


async def test_while_postgresql_is_away_a_warm_door_stays_ready_and_answers_503_itself(
    cinema_on_own_postgres: Cinema, own_postgres: EmbeddedPostgres
) -> None:
    async with door_process(cinema_on_own_postgres.rt.settings, "create_order") as door:
        await until(door.ready)
        assert (await order(cinema_on_own_postgres, door)).status_code == 201
        await asyncio.to_thread(own_postgres.stop)
        for _ in range(2):
            assert_problem(await order(cinema_on_own_postgres, door, "prc_stalker_buy"), "unavailable")
            assert await said(door, READY + ALIVE) == {200}
        await asyncio.to_thread(own_postgres.start)

        async def sold() -> bool:
            return (await order(cinema_on_own_postgres, door, "prc_stalker_buy")).status_code == 201

        await until(sold)


async def test_a_door_that_starts_while_postgresql_is_away_becomes_ready_when_it_answers(
    cinema_on_own_postgres: Cinema, own_postgres: EmbeddedPostgres
) -> None:
    await asyncio.to_thread(own_postgres.stop)
    async with door_process(cinema_on_own_postgres.rt.settings, "create_order") as door:
        assert (await said(door, ALIVE), await said(door, READY)) == ({200}, {503})
        assert_problem(await order(cinema_on_own_postgres, door), "unavailable")
        assert '"not_ready"' in door.said()
        await asyncio.to_thread(own_postgres.start)
        await until(door.ready)
        assert (await order(cinema_on_own_postgres, door)).status_code == 201


async def test_a_door_that_starts_before_the_migration_becomes_ready_after_it(
    cinema: Cinema, empty_database_url: str
) -> None:
    url = role_url(empty_database_url, Role.DOOR)
    async with door_process(cinema.rt.settings.model_copy(update={"database_url": url}), "account") as door:
        assert (await said(door, ALIVE), await said(door, READY)) == ({200}, {503})
        await asyncio.to_thread(prepare, empty_database_url)
        await until(door.ready)


async def test_in_production_a_door_that_starts_before_its_database_works_with_none_that_it_must_not_use(
    cinema_on_own_postgres: Cinema, own_postgres: EmbeddedPostgres
) -> None:
    """The refusals of the start hold when PostgreSQL comes later: here, a test clock."""
    with cinema_on_own_postgres.db() as db:
        db.execute("INSERT INTO test_clock (one, ahead) VALUES (true, interval '1 day')")
    await asyncio.to_thread(own_postgres.stop)
    live = {
        "BOXOFFICE_ENVIRONMENT": "production",
        "BOXOFFICE_PROVIDERS": PROVIDER,
        "BOXOFFICE_DEFAULT_PROVIDER": PROVIDER,
        "BOXOFFICE_AUTH_JWKS_URL": "https://127.0.0.1:9/keys",
    }
    async with door_process(cinema_on_own_postgres.rt.settings, "subscription", **live) as door:
        assert (await said(door, ALIVE), await said(door, READY)) == ({200}, {503})
        await asyncio.to_thread(own_postgres.start)

        async def refused() -> bool:
            return "this database has a test clock" in door.said()

        await until(refused)
        assert await said(door, READY) == {503}
        assert_problem(await door.get("/v1/subscriptions/sub_x"), "unavailable")
        with cinema_on_own_postgres.db() as db:
            db.execute("DELETE FROM test_clock")
        await until(door.ready)
        assert (await door.get("/v1/subscriptions/sub_x")).status_code != 503


async def test_a_door_says_its_revision_where_a_platform_names_one(cinema: Cinema) -> None:
    async with door_process(
        cinema.rt.settings, "account", K_SERVICE="account", K_REVISION="account-00007"
    ) as door:
        await until(door.ready)
        assert (await door.get("/v1/orders")).status_code == 401
        assert '"revision":"account-00007"' in door.said()
    async with door_process(cinema.rt.settings, "account") as door:
        await until(door.ready)
        assert (await door.get("/v1/orders")).status_code == 401
        assert '"revision"' not in door.said()


def test_a_test_clock_can_be_seen_by_a_door(database_url: str) -> None:
    """What the production test above stands on."""
    with psycopg.connect(role_url(database_url, Role.DOOR)) as db:
        assert db.execute("SELECT count(*) FROM test_clock").fetchone() == (0,)
