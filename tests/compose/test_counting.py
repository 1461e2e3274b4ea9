"""The kill table's counting: it sees what is lost and what is doubled, and says nothing when all is well."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from infra.compose.up import troubles
from infra.demo.cinema import Cinema as CinemaOnTheBus
from infra.demo.town import Json
from infra.drill.books import counted
from infra.drill.customer import Customer, Wish
from infra.drill.load import MOVE_CLOCK, UNSENT_NOTICES
from infra.local.home import Running
from tests.kit.cinema import Cinema
from tests.kit.waiting import PATIENCE_S

NOWHERE = Running(
    pid=0, gateway="http://gateway", auth="http://auth", sandbox="", mail="", database_url="", doors={}
)


@pytest.fixture
async def served(cinema: Cinema) -> Customer:
    """A customer of the load who got what was paid for."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        customer = Customer("load0-test", Wish.WATCH, NOWHERE, http, CinemaOnTheBus(()))
    customer.order = await cinema.bought("prc_metropolis_buy", customer=customer.id)
    customer.served = True
    await cinema.drain()
    return customer


async def count(cinema: Cinema, *customers: Customer) -> Json:
    return await counted(lambda sql: rows(cinema, sql), await cinema.books(), customers)


async def rows(cinema: Cinema, sql: str, **values: Any) -> list[Json]:
    with psycopg.connect(cinema.database_url, row_factory=dict_row) as db:
        return db.execute(cast("Any", sql), values or None).fetchall()


async def test_all_is_well_when_it_is(cinema: Cinema, served: Customer) -> None:
    found = await count(cinema, served)
    assert {name: found[name] for name in ("lost", "doubled", "faults")} == {
        "lost": [],
        "doubled": [],
        "faults": [],
    }
    (untold,) = await rows(cinema, UNSENT_NOTICES, watchers=[])
    assert not any(untold.values()), untold
    (played,) = await rows(cinema, UNSENT_NOTICES, watchers=[served.id])
    assert played["starts"] == 1


async def test_a_mail_that_is_to_wait_a_minute_is_no_fault(cinema: Cinema) -> None:
    """Opting out is mailed once it has stood for a minute, and the load is called calm before."""
    order = await cinema.bought("prc_basic_month", customer="load1-test")
    path = f"/v1/subscriptions/{order['subscription_id']}"
    answer = await cinema.call("PATCH", path, {"auto_renew": False}, customer="load1-test")
    assert answer.status_code == 200
    await cinema.drain()
    assert cinema.value("SELECT type FROM outbox") == "billing.job.tell_auto_renew"
    assert (await count(cinema))["faults"] == []

    with cinema.db() as db:
        db.execute("UPDATE outbox SET available_at = boxoffice_now()")

    assert (await count(cinema))["faults"] == ["events not delivered: 1"]


async def test_whoever_was_not_served_is_lost_and_so_is_an_order_that_is_gone(
    cinema: Cinema, served: Customer
) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        other = Customer("load1-test", Wish.WATCH, NOWHERE, http, CinemaOnTheBus(()))
    other.order, other.failed = {"id": "ord_gone"}, "TimeoutError"
    assert (await count(cinema, served, other))["lost_count"] == 2


async def test_a_mail_too_many_is_doubled(cinema: Cinema, served: Customer) -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO notifications (id, event_id, event_type, customer_id, status, attempts, locked_until, created_at)"
            " SELECT id || '2', event_id || '2', event_type, customer_id, status, 1, locked_until, created_at"
            " FROM notifications WHERE event_type = 'billing.order.paid'"
        )
    assert (await count(cinema, served))["doubled_count"] == 1


async def test_money_the_provider_took_twice_is_doubled(cinema: Cinema, served: Customer) -> None:
    books = await cinema.books()
    books["orders"][served.order["id"]]["captured_minor"] *= 2
    found = await counted(lambda sql: rows(cinema, sql), books, [served])
    assert (found["doubled_count"], found["faults_count"]) == (1, 1)


async def test_a_month_can_pass_and_passes(cinema: Cinema, served: Customer) -> None:
    before = cinema.now()
    await rows(cinema, MOVE_CLOCK, by=timedelta(days=31))
    assert cinema.now() - before >= timedelta(days=31)


def test_a_container_is_well_when_it_is_healthy_and_a_job_when_it_has_ended_well() -> None:
    def told(
        status: str, restart: str = "unless-stopped", *, health: str | None = None, code: int = 0
    ) -> dict[str, Any]:
        state: dict[str, Any] = {"Status": status, "ExitCode": code}
        return {
            "State": state | ({"Health": {"Status": health}} if health else {}),
            "HostConfig": {"RestartPolicy": {"Name": restart}},
        }

    assert troubles(
        {
            "relay": told("running"),
            "account": told("running", health="healthy"),
            "webhook": told("running", health="starting"),
            "nginx": told("restarting"),
            "migrate": told("exited", "no"),
            "topics": told("exited", "no", code=2),
            "catalog": told("running", "no"),
        }
    ) == {"webhook": "starting", "nginx": "restarting", "topics": "failed with 2", "catalog": "still working"}
