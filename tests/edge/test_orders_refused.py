"""POST /v1/orders: what cannot be sold is refused before anything is written."""

from __future__ import annotations

import asyncio

from tests.kit.answers import assert_problem, nothing_changes, order_body
from tests.kit.cinema import Cinema


def put_price(cinema: Cinema, price_id: str, amount_minor: int = 1000, currency: str = "EUR") -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO prices (id, product_id, kind, amount_minor, currency, sellable_from)"
            " VALUES (%s, 'prd_stalker', 'purchase', %s, %s, '2020-01-01')",
            [price_id, amount_minor, currency],
        )


async def test_what_the_catalog_does_not_sell_is_refused(cinema: Cinema) -> None:
    put_price(cinema, "prc_retired")
    put_price(cinema, "prc_soon")
    put_price(cinema, "prc_tiny", amount_minor=49)
    put_price(cinema, "prc_zloty_free", currency="BRL")
    with cinema.db() as db:
        db.execute("UPDATE prices SET sellable_until = boxoffice_now() WHERE id = 'prc_retired'")
        db.execute("INSERT INTO prices SELECT 'prc_later', product_id, kind, amount_minor, currency, interval_unit,"
                   " interval_count, trial_days, boxoffice_now() + interval '1 hour', NULL FROM prices"
                   " WHERE id = 'prc_soon'")  # fmt: skip
    refusals = {
        "prc_nobody_knows": "price_unknown",
        "ord_of_another_kind": "price_unknown",
        "prc_retired": "price_retired",
        "prc_later": "price_retired",
        "prc_tiny": "amount_too_small",
        "prc_zloty_free": "currency_unsupported",
    }
    with nothing_changes(cinema):
        for price_id, code in refusals.items():
            assert_problem(await cinema.call("POST", "/v1/orders", order_body(price_id)), code)


async def test_what_we_do_not_know_is_refused_by_name(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for more, code in (
            (
                {"promotion_code": "FREE"},
                "body_invalid",
            ),  # there are no promotions, and no field of the body is ignored
            ({"promotion_code": "A\u0000B"}, "body_invalid"),
            ({"provider": "stripe"}, "provider_unknown"),
            ({"provider": "__class__"}, "provider_unknown"),
            ({"payment_method_id": "pm_nobody_has"}, "payment_method_unknown"),
        ):
            assert_problem(await cinema.call("POST", "/v1/orders", order_body(**more)), code)


async def test_what_is_owned_is_not_sold_twice(cinema: Cinema) -> None:
    await cinema.bought("prc_metropolis_buy")
    await cinema.bought("prc_basic_month")
    await cinema.drain()
    with nothing_changes(cinema):
        assert_problem(await cinema.call("POST", "/v1/orders", order_body()), "already_owned")
        again = await cinema.call("POST", "/v1/orders", order_body("prc_basic_month"))
        assert_problem(again, "already_subscribed")


async def test_a_customer_has_ten_open_orders_however_many_come_at_once(cinema: Cinema) -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO products SELECT 'prd_' || n, 'Film ' || n, now() FROM generate_series(1, 60) AS n"
        )
        db.execute(
            "INSERT INTO prices (id, product_id, kind, amount_minor, currency, sellable_from)"
            " SELECT 'prc_' || n, 'prd_' || n, 'purchase', 999, 'EUR', '2020-01-01' FROM generate_series(1, 60) AS n"
        )
    bodies = [order_body(f"prc_{n}") for n in range(1, 61)]
    answers = await asyncio.gather(*(cinema.call("POST", "/v1/orders", body) for body in bodies))
    opened = [answer.json() for answer in answers if answer.is_success]
    assert len(opened) == 10
    for answer in answers:
        if not answer.is_success:
            assert_problem(answer, "too_many_open_orders")
    again = await cinema.call("POST", "/v1/orders", order_body(opened[0]["price_id"]))
    assert again.json()["id"] == opened[0]["id"]  # what is open already is no new one
    canceled = await cinema.call("POST", f"/v1/orders/{opened[0]['id']}/cancel")
    assert canceled.json()["status"] == "canceled"
    (body, *_) = [body for body, answer in zip(bodies, answers, strict=True) if not answer.is_success]
    assert (await cinema.call("POST", "/v1/orders", body)).status_code in (201, 202)
    assert (await cinema.call("POST", "/v1/orders", body, customer="bob")).status_code in (201, 202)


async def test_another_price_of_what_is_being_ordered_names_the_open_order(cinema: Cinema) -> None:
    order = await cinema.order("prc_plus_month")
    problem = assert_problem(
        await cinema.call("POST", "/v1/orders", order_body("prc_plus_year")), "order_open"
    )
    assert problem["order_id"] == order["id"]
    with cinema.db() as db:
        db.execute("UPDATE orders SET expires_at = boxoffice_now()")
    closing = await cinema.call("POST", "/v1/orders", order_body("prc_plus_month"))
    assert assert_problem(closing, "order_open")["order_id"] == order["id"]
    assert int(closing.headers["retry-after"]) > 0


async def test_a_refused_order_frees_its_key_so_that_the_mended_request_may_use_it(cinema: Cinema) -> None:
    refused = await cinema.call("POST", "/v1/orders", order_body("prc_wrong"), key="k1")
    assert_problem(refused, "price_unknown")
    mended = await cinema.call("POST", "/v1/orders", order_body(), key="k1")
    assert mended.status_code == 201, mended.text


async def test_the_provider_is_never_asked_about_a_refused_order(cinema: Cinema) -> None:
    for body in (
        order_body("prc_wrong"),
        order_body(return_url="https://evil.test/"),
        order_body(provider="stripe"),
    ):
        await cinema.call("POST", "/v1/orders", body)
    found = await cinema.http.get(
        cinema.sandbox.url + "/v1/payments", headers={"authorization": f"Bearer {cinema.sandbox.api_key}"}
    )
    assert found.json()["data"] == []
