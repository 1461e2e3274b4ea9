"""POST /v1/refunds: never more than was taken, never by choice of the customer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from shared_lib.billing.jobs import MAILED_AFTER
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import Cinema
from tests.kit.waiting import until

OPERATOR = ("billing:operator",)


async def refund(cinema: Cinema, order_id: str, **more: Any) -> httpx.Response:
    return await cinema.call("POST", "/v1/refunds", {"order_id": order_id, "reason": "r", **more})


async def by_operator(cinema: Cinema, order_id: str, **more: Any) -> httpx.Response:
    body = {"order_id": order_id, "reason": "kindness", **more}
    return await cinema.call("POST", "/v1/refunds", body, customer="olga", scopes=OPERATOR)


async def test_an_operator_cannot_give_back_more_than_is_left(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    with nothing_changes(cinema):
        assert_problem(await by_operator(cinema, order["id"], amount_minor=1300), "refund_too_much")
    assert (await by_operator(cinema, order["id"], amount_minor=1000)).status_code == 201
    await cinema.drain()
    with nothing_changes(cinema):
        assert_problem(await by_operator(cinema, order["id"], amount_minor=300), "refund_too_much")
    assert (await by_operator(cinema, order["id"], amount_minor=299)).status_code == 201
    await cinema.drain()
    with nothing_changes(cinema):
        assert_problem(await by_operator(cinema, order["id"], amount_minor=1), "refund_too_much")
        assert_problem(await by_operator(cinema, order["id"]), "refund_too_much")
        assert_problem(await refund(cinema, order["id"]), "refund_too_much")
    await cinema.assert_balanced()


async def test_an_amount_is_a_positive_whole_number(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    with nothing_changes(cinema):
        for amount in (0, -1, 1.5, "100", True, 10**13, 10**30):
            answer = await by_operator(cinema, order["id"], amount_minor=amount)
            errors = assert_problem(answer, "body_invalid")["errors"]
            assert [error["at"] for error in errors] == ["amount_minor"], amount
    answer = await by_operator(cinema, order["id"], amount_minor=None)  # says nothing: all that is left
    assert answer.json()["amount"] == {"minor": 1299, "currency": "EUR"}


async def test_a_customer_chooses_neither_the_amount_nor_the_access(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    with nothing_changes(cinema):
        assert_problem(await refund(cinema, order["id"], amount_minor=1299), "refund_amount_forbidden")
        assert_problem(await refund(cinema, order["id"], access="keep"), "refund_amount_forbidden")
        own = order["payment"]["id"]
        assert_problem(await refund(cinema, order["id"], payment_id=own), "refund_amount_forbidden")
        assert_problem(await by_operator(cinema, order["id"], payment_id="pay_x"), "not_found")
        for smuggled in (
            {"amount": {"minor": 1}},
            {"surplus": True},
            {"requested_by": "olga"},
        ):
            assert_problem(await refund(cinema, order["id"], **smuggled), "body_invalid")
        assert_problem(await refund(cinema, order["id"], access="forever"), "body_invalid")


async def test_what_was_not_paid_is_not_given_back(cinema: Cinema) -> None:
    order = await cinema.order("prc_metropolis_buy")
    with nothing_changes(cinema):
        assert_problem(await refund(cinema, order["id"]), "order_not_paid")
        assert_problem(await by_operator(cinema, order["id"], amount_minor=1), "order_not_paid")
        assert_problem(await by_operator(cinema, "ord_nobody_made"), "not_found")


async def test_a_canceled_order_was_not_paid(cinema: Cinema) -> None:
    order = await cinema.order("prc_metropolis_buy")
    assert (await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")).status_code == 200
    assert_problem(await refund(cinema, order["id"]), "order_not_paid")


async def test_after_the_window_only_an_operator_gives_back(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    await cinema.advance(timedelta(days=15))
    with nothing_changes(cinema):
        assert_problem(await refund(cinema, order["id"]), "refund_window_over")
    assert (await by_operator(cinema, order["id"])).status_code == 201


async def test_a_title_that_was_started_is_kept(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    played = {"customer_id": "ann", "product_id": "prd_metropolis", "started_at": cinema.now().isoformat()}
    assert (await cinema.event("cinema.playback.started", played)).status_code == 200
    await cinema.drain()
    with nothing_changes(cinema):
        assert_problem(await refund(cinema, order["id"]), "refund_started")


async def test_a_reason_is_some_text(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for reason in ("", "x" * 501, "a\u0000b", 7, None):
            answer = await cinema.call("POST", "/v1/refunds", {"order_id": "ord_x", "reason": reason})
            errors = assert_problem(answer, "body_invalid")["errors"]
            assert [error["at"] for error in errors] == ["reason"], reason


async def test_a_paid_order_is_not_canceled(cinema: Cinema) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    with nothing_changes(cinema):
        answer = await cinema.call("POST", f"/v1/orders/{order['id']}/cancel")
        assert_problem(answer, "order_not_cancelable")


async def test_opting_out_twice_is_opting_out_once(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    path = f"/v1/subscriptions/{subscription['id']}"
    first = await cinema.call("PATCH", path, {"auto_renew": False})
    await cinema.advance(MAILED_AFTER)
    await cinema.drain()
    with nothing_changes(cinema):
        second = await cinema.call("PATCH", path, {"auto_renew": False})
    assert (first.status_code, first.content) == (second.status_code, second.content) == (200, first.content)
    told = "SELECT count(*) FROM notifications WHERE event_type = 'billing.job.tell_auto_renew'"
    assert cinema.value(told) == 1


async def test_what_has_ended_is_opted_out_of_but_not_back_into(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    path = f"/v1/subscriptions/{subscription['id']}"
    await cinema.call("PATCH", path, {"auto_renew": False})
    await cinema.advance(timedelta(days=32))
    await cinema.tick()
    with nothing_changes(cinema):
        assert (await cinema.call("PATCH", path, {"auto_renew": False})).status_code == 200
        assert_problem(await cinema.call("PATCH", path, {"auto_renew": True}), "subscription_ended")


async def test_a_refund_at_the_provider_of_more_than_we_know_is_kept_and_not_believed(cinema: Cinema) -> None:
    """One refund over what was delivered for and what was captured beyond it: a person must tell them apart."""
    order = await cinema.bought("prc_metropolis_buy")
    ref = cinema.value("SELECT provider_ref FROM payments")
    await cinema.control(f"/control/payments/{ref}/state", {"captured_minor": 2598, "told": False})
    await cinema.control("/control/refunds", {"payment": ref})
    await until(lambda: cinema.value("SELECT captured_minor FROM payments") == 2598)
    assert cinema.rows("SELECT status FROM inbox WHERE status <> 'done'") == [("parked",)]
    assert (await cinema.get(f"/v1/orders/{order['id']}"))["status"] == "paid"
    assert cinema.rows("SELECT refunded_minor FROM payments") == [(0,)]
