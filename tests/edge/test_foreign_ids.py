"""Another customer's things do not exist: every call with an id answers as if it had never been made."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from shared_lib.contract.operations import OPERATIONS, Operation
from shared_lib.contract.routes import OPERATORS
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import Cinema

WITH_ID = [one for one in OPERATIONS if one.route.id_name and one.route.scopes]


async def anns_things(cinema: Cinema) -> dict[str, str]:
    """Ids of everything that can be named in a path."""
    bought = await cinema.bought("prc_metropolis_buy")
    await cinema.bought("prc_basic_month")
    refund = await cinema.call("POST", "/v1/refunds", {"order_id": bought["id"], "reason": "r"})
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    pending = await cinema.order("prc_stalker_rent")
    await cinema.drain()
    return {
        "order_id": pending["id"],
        "subscription_id": subscription["id"],
        "refund_id": refund.json()["id"],
        "method_id": method["id"],
    }


async def ask(cinema: Cinema, operation: Operation, id_: str, customer: str, **more: Any) -> httpx.Response:
    route = operation.route
    path = route.path.replace(f"{{{route.id_name}}}", id_)
    return await cinema.call(route.method, path, dict(operation.example) or None, customer=customer, **more)


def shown(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    """All of it but the id of the call, which differs from call to call."""
    body = answer.json()
    assert body.pop("request_id") == answer.headers["x-request-id"]
    return answer.status_code, body


async def test_foreign_ids_and_unknown_ids_get_the_same_answer_on_every_route(cinema: Cinema) -> None:
    things = await anns_things(cinema)
    assert {one.route.id_name for one in WITH_ID} == set(things), "a new kind of id needs its line here"
    with nothing_changes(cinema):
        for operation in WITH_ID:
            route = operation.route
            real = things[route.id_name or ""]
            unknown = real[:-6] + "ZZZZZZ"
            foreign = await ask(cinema, operation, real, "bob")
            never = await ask(cinema, operation, unknown, "bob")
            assert_problem(foreign, "scope_missing" if route.scopes == OPERATORS else "not_found")
            assert shown(foreign) == shown(never), route.path
    for operation in WITH_ID:  # they are there, for their owner
        route = operation.route
        if route.method == "GET":
            assert (await ask(cinema, operation, things[route.id_name or ""], "ann")).status_code == 200


async def test_foreign_ids_in_a_body_do_not_exist_either(cinema: Cinema) -> None:
    bought = await cinema.bought("prc_basic_month")
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    await cinema.drain()
    answers = []
    with nothing_changes(cinema):
        for order_id in (bought["id"], "ord_01JD0000000000000000000000"):
            body = {"order_id": order_id, "reason": "mine"}
            answers.append(await cinema.call("POST", "/v1/refunds", body, customer="bob"))
            assert_problem(answers[-1], "not_found")
        for method_id in (method["id"], "pm_01JD0000000000000000000000"):
            body = {
                "price_id": "prc_stalker_buy",
                "return_url": "http://cinema.test/",
                "payment_method_id": method_id,
            }
            answers.append(await cinema.call("POST", "/v1/orders", body, customer="bob"))
            assert_problem(answers[-1], "payment_method_unknown")
    assert shown(answers[0]) == shown(answers[1])
    assert shown(answers[2]) == shown(answers[3])


async def test_waiting_for_a_foreign_order_does_not_tell_that_it_exists(cinema: Cinema) -> None:
    order = await cinema.order("prc_metropolis_buy")
    owner, stranger = (
        asyncio.ensure_future(cinema.call("GET", f"/v1/orders/{order['id']}?wait=25", customer=customer))
        for customer in ("ann", "bob")
    )
    done, _ = await asyncio.wait([owner, stranger], return_when=asyncio.FIRST_COMPLETED)
    assert done == {stranger}
    assert_problem(await stranger, "not_found")
    await cinema.pay(order["checkout_url"])
    assert (await owner).json()["status"] == "paid"


async def test_lists_show_ones_own_things_alone(cinema: Cinema) -> None:
    await anns_things(cinema)
    for path in ("/v1/orders", "/v1/subscriptions", "/v1/entitlements", "/v1/payment-methods"):
        assert (await cinema.get(path, customer="bob"))["items"] == []
        assert (await cinema.get(path, customer="ann"))["items"] != []


async def test_a_page_cannot_be_turned_into_somebody_elses(cinema: Cinema) -> None:
    order = await cinema.order("prc_metropolis_buy")
    answer = await cinema.call("GET", f"/v1/orders?after={order['id']}Z&customer_id=ann", customer="bob")
    assert answer.json()["items"] == []


async def test_an_operator_sees_one_thing_of_anybody_and_changes_nothing_of_it(cinema: Cinema) -> None:
    things = await anns_things(cinema)
    with nothing_changes(cinema):
        for operation in WITH_ID:
            route = operation.route
            answer = await ask(
                cinema, operation, things[route.id_name or ""], "olga", scopes=("billing:operator",)
            )
            if route.method == "GET":
                assert answer.status_code == 200, answer.text
            elif route.scopes == OPERATORS:
                assert_problem(answer, "refund_not_awaiting")
            else:
                assert_problem(answer, "scope_missing")
