from __future__ import annotations

from shared_lib.billing.orders import OpenedOrder
from shared_lib.billing.replies import SavedReply
from shared_lib.billing.reports import PaymentReport
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.payment import PaymentStatus
from shared_lib.phases.orders import open_orders
from shared_lib.providers.base import PaymentState
from tests.phases.runner import BASIC, FILM, PLUS, STALKER, PhaseRunner, reply, said, want


async def test_a_batch_opens_one_order_and_one_payment_for_each_customer(phases: PhaseRunner) -> None:
    opened = await phases.opened(*(want(FILM, f"customer-{n}") for n in range(50)))
    assert [one.order.customer_id for one in opened] == [f"customer-{n}" for n in range(50)]
    assert all(one.to_ask and one.payment.status is PaymentStatus.SENDING for one in opened)
    assert await phases.rows("SELECT count(*), count(DISTINCT order_id) FROM payments") == [(50, 50)]
    assert await phases.value("SELECT count(*) FROM customers") == 50


async def test_a_refusal_stands_at_its_place_and_its_neighbors_are_served(phases: PhaseRunner) -> None:
    answers = await phases.commit(open_orders, want(FILM), want("prc_nothing", key="no"), want(STALKER))
    kinds = [answer.code if isinstance(answer, Refusal) else type(answer) for answer in answers]
    assert kinds == [OpenedOrder, Code.PRICE_UNKNOWN, OpenedOrder]
    (again,) = await phases.commit(open_orders, want(FILM, "bob", key="no"))
    assert isinstance(again, OpenedOrder)


async def test_a_refused_request_frees_its_key(phases: PhaseRunner) -> None:
    await phases.commit(open_orders, want("prc_nothing", key="k"))
    (again,) = await phases.commit(open_orders, want(FILM, key="k"))
    assert isinstance(again, OpenedOrder)


async def test_one_key_twice_in_a_batch_is_one_order_and_one_in_flight(phases: PhaseRunner) -> None:
    first, second = await phases.commit(open_orders, want(key="k"), want(key="k"))
    assert isinstance(first, OpenedOrder)
    assert isinstance(second, Refusal)
    assert second.code is Code.KEY_IN_FLIGHT
    assert await phases.value("SELECT count(*) FROM orders") == 1


async def test_one_key_for_two_requests_in_a_batch_is_reused(phases: PhaseRunner) -> None:
    first, second = await phases.commit(open_orders, want(FILM, key="k"), want(STALKER, key="k"))
    assert isinstance(first, OpenedOrder)
    assert isinstance(second, Refusal)
    assert second.code is Code.KEY_REUSED


async def test_the_same_key_of_two_customers_is_two_keys(phases: PhaseRunner) -> None:
    opened = await phases.opened(want(key="k", customer="ann"), want(key="k", customer="bob"))
    assert len({one.order.id for one in opened}) == 2


async def test_a_key_that_was_answered_answers_with_the_same_bytes(phases: PhaseRunner) -> None:
    request = want(key="k")
    (opened,) = await phases.opened(request)
    pending = said(opened.payment, PaymentState.PENDING, checkout_url="http://pay.test/1")
    await phases.settled(
        PaymentReport(payment_id=opened.payment.id, outcome=pending, answer=(request.key, reply), fence=1)
    )
    (again,) = await phases.commit(open_orders, request)
    assert again == SavedReply(201, f"{opened.order.id} pending".encode())


async def test_a_customer_in_a_batch_with_themselves_begins_two_subscriptions_but_has_none_yet(
    phases: PhaseRunner,
) -> None:
    opened = await phases.opened(want(BASIC), want(PLUS), want(BASIC))
    assert [one.order.amount.minor for one in opened] == [799, 0, 799]
    assert await phases.rows("SELECT DISTINCT status FROM subscriptions") == [("incomplete",)]
