"""GET /v1/orders/{id}?wait=25: many who wait cost one question, and those who hang up cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request

from shared_lib.runtime import Runtime
from shared_lib.watching import PER_CUSTOMER, OrderWatch, order_watch
from tests.kit.answers import alter, assert_problem
from tests.kit.cinema import Cinema
from tests.kit.tasks import stop_tasks
from tests.kit.waiting import PATIENCE_S, until

POLLS = 40


@pytest.fixture
async def watched(cinema: Cinema) -> AsyncIterator[tuple[Cinema, OrderWatch]]:
    async with httpx.AsyncClient(timeout=PATIENCE_S, limits=httpx.Limits(max_connections=300)) as http:
        cinema.http = http
        yield cinema, order_watch(cinema.rt)


def polling(cinema: Cinema, order: dict[str, Any], customer: str) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(cinema.call("GET", f"/v1/orders/{order['id']}?wait=25", customer=customer))


async def hang_up(polls: list[asyncio.Task[httpx.Response]]) -> None:
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)


class Counted:
    """The runtime's questions, counted on their way."""

    def __init__(self, rt: Runtime) -> None:
        self._read, self.questions = rt._batcher.read, 0
        rt._batcher.read = self  # type: ignore[method-assign, assignment]

    def __call__(self, *asked: Any, **how: Any) -> Awaitable[Any]:
        self.questions += 1
        return self._read(*asked, **how)


async def test_however_many_wait_each_look_is_one_question(watched: tuple[Cinema, OrderWatch]) -> None:
    cinema, watch = watched
    orders = {f"c{n}": await cinema.order("prc_metropolis_buy", customer=f"c{n}") for n in range(POLLS // 4)}
    polls = [polling(cinema, order, customer) for customer, order in orders.items() for _ in range(4)]
    await until(lambda: watch.waiting == POLLS)
    counted, looks = Counted(cinema.rt), watch.looks
    await until(lambda: watch.looks >= looks + 4)
    assert counted.questions <= watch.looks - looks
    assert not any(poll.done() for poll in polls)
    await hang_up(polls)


async def test_those_who_hang_up_leave_their_places_and_nothing_is_asked_for_them(
    watched: tuple[Cinema, OrderWatch],
) -> None:
    cinema, watch = watched
    order = await cinema.order("prc_metropolis_buy")
    polls = [polling(cinema, order, "ann") for _ in range(PER_CUSTOMER)]
    await until(lambda: watch.waiting == PER_CUSTOMER)
    await hang_up(polls)
    await until(lambda: watch.waiting == 0)
    await until(lambda: watch._looking is None)
    assert not watch._polls


async def test_a_connection_that_ends_is_noticed_however_long_it_would_have_waited(
    watched: tuple[Cinema, OrderWatch],
) -> None:
    cinema, watch = watched
    order = await cinema.order("prc_metropolis_buy")
    known = cinema.rows("SELECT status, version FROM orders")[0]
    ended = asyncio.Event()

    async def receive() -> dict[str, str]:
        """As a server tells an application: nothing more comes until the connection ends."""
        await ended.wait()
        return {"type": "http.disconnect"}

    request = Request({"type": "http"}, receive)
    poll = asyncio.create_task(watch.changed(request, order["id"], (known[0], known[1]), within_s=1e6))
    await until(lambda: watch.looks > 1)
    assert not poll.done()
    ended.set()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ClientDisconnect):
            await poll


async def test_an_order_that_is_decided_is_not_waited_for(watched: tuple[Cinema, OrderWatch]) -> None:
    """A customer who returns from the provider's page may come after the webhook."""
    cinema, watch = watched
    order = await cinema.bought("prc_metropolis_buy")
    looks = watch.looks
    (answer,) = await asyncio.gather(polling(cinema, order, "ann"))
    assert answer.json()["status"] == "paid"
    assert (watch.looks, watch.waiting) == (looks, 0)


async def test_all_who_wait_hear_of_a_change_made_by_another_instance(
    watched: tuple[Cinema, OrderWatch],
) -> None:
    cinema, watch = watched
    anns = await cinema.order("prc_metropolis_buy", customer="ann")
    bobs = await cinema.order("prc_metropolis_buy", customer="bob")
    waiting = [polling(cinema, anns, "ann") for _ in range(3)]
    others = polling(cinema, bobs, "bob")
    await until(lambda: watch.waiting == 4)
    await alter(
        cinema, f"UPDATE orders SET status = 'canceled', version = version + 1 WHERE id = '{anns['id']}'"
    )
    for answer in await asyncio.gather(*waiting):
        assert answer.json()["status"] == "canceled"
    assert not others.done()
    await hang_up([others])


async def test_one_customer_may_wait_so_often_and_takes_no_place_of_others(
    watched: tuple[Cinema, OrderWatch],
) -> None:
    cinema, watch = watched
    anns = await cinema.order("prc_metropolis_buy", customer="ann")
    bobs = await cinema.order("prc_metropolis_buy", customer="bob")
    polls = [polling(cinema, anns, "ann") for _ in range(PER_CUSTOMER)]
    await until(lambda: watch.waiting == PER_CUSTOMER)
    for refused in await asyncio.gather(*(polling(cinema, anns, "ann") for _ in range(20))):
        assert_problem(refused, "too_many_polls")
        assert int(refused.headers["retry-after"]) > 0
    others = polling(cinema, bobs, "bob")
    await until(lambda: watch.waiting == PER_CUSTOMER + 1)
    await hang_up([polls.pop()])
    await until(lambda: watch.waiting == PER_CUSTOMER)
    again = polling(cinema, anns, "ann")
    await until(lambda: watch.waiting == PER_CUSTOMER + 1)
    assert not again.done()
    await hang_up([*polls, others, again])


async def test_when_looking_fails_all_who_wait_are_answered(watched: tuple[Cinema, OrderWatch]) -> None:
    cinema, watch = watched
    order = await cinema.order("prc_metropolis_buy")
    polls = [polling(cinema, order, "ann") for _ in range(3)]
    await until(lambda: watch.waiting == 3)
    await alter(cinema, "ALTER TABLE orders RENAME TO lost")
    for answer in await asyncio.gather(*polls):
        assert_problem(answer, "internal")
    await alter(cinema, "ALTER TABLE lost RENAME TO orders")
    poll = polling(cinema, order, "ann")
    await until(lambda: watch.waiting == 1)
    await cinema.pay(order["checkout_url"])
    assert (await poll).json()["status"] == "paid"


async def test_when_the_look_is_stopped_all_who_wait_are_answered_and_the_next_poll_starts_another(
    watched: tuple[Cinema, OrderWatch],
) -> None:
    cinema, watch = watched
    order = await cinema.order("prc_metropolis_buy")
    polls = [polling(cinema, order, "ann") for _ in range(3)]
    await until(lambda: watch.waiting == 3)
    assert stop_tasks("order-watch") == 1
    async with asyncio.timeout(PATIENCE_S):
        for answer in await asyncio.gather(*polls):
            assert_problem(answer, "unavailable")
    poll = polling(cinema, order, "ann")
    await until(lambda: watch.waiting == 1)
    await cinema.pay(order["checkout_url"])
    assert (await poll).json()["status"] == "paid"


async def test_a_wait_that_ends_in_vain_is_answered_with_what_is_true_then(
    watched: tuple[Cinema, OrderWatch],
) -> None:
    """A checkout_url that comes meanwhile changes neither status nor version, so no watch notices it."""
    cinema, watch = watched
    order = await cinema.order("prc_metropolis_buy")
    cinema.rows("UPDATE payments SET checkout_url = NULL RETURNING id")
    poll = asyncio.create_task(cinema.call("GET", f"/v1/orders/{order['id']}?wait=2"))
    await until(lambda: watch.waiting == 1)
    cinema.rows("UPDATE payments SET checkout_url = %s RETURNING id", order["checkout_url"])
    assert (await poll).json()["checkout_url"] == order["checkout_url"]
