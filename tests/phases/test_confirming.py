"""A saved card is charged and its bank wants to see the customer: the order gets a page, and the caller its link."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared_lib.billing.leasing import LeaseRequest
from shared_lib.billing.order_requests import OrderRequest
from shared_lib.billing.orders import OpenedOrder
from shared_lib.billing.reports import PaymentReport
from shared_lib.contract.views import order_view
from shared_lib.domain.payment import Decline, DeclineKind
from shared_lib.domain.values import replace
from shared_lib.phases.leases import lease_payments
from shared_lib.phases.orders import open_orders
from shared_lib.providers.base import PaymentState
from tests.phases.runner import BASIC, FILM, PhaseRunner, declined, reply, said, succeeded, want

CONFIRM = Decline(
    kind=DeclineKind.ACTION_REQUIRED,
    reason="authentication_required",
    provider_code="authentication_required",
)


async def charged(phases: PhaseRunner) -> tuple[OrderRequest, OpenedOrder]:
    """A saved card is being charged for a film."""
    (plan,) = await phases.opened(want(BASIC))
    await phases.settled(succeeded(plan.payment, card="sm_1"))
    request = want(FILM, payment_method_id=await phases.value("SELECT id FROM payment_methods"))
    (opened,) = await phases.opened(request)
    return request, opened


@pytest.mark.parametrize("told_before", [False, True])
async def test_the_caller_whose_card_must_be_confirmed_asks_for_a_page_under_a_lease_of_its_own(
    phases: PhaseRunner, *, told_before: bool
) -> None:
    """Also when the webhook of the decline was faster than the direct answer."""
    request, opened = await charged(phases)
    if told_before:
        await phases.settled(declined(opened.payment, CONFIRM))
    news = replace(declined(opened.payment, CONFIRM), answer=(request.key, reply), fence=1)
    (answer,) = await phases.settled(news)
    assert answer
    assert answer.reply is None
    assert answer.to_ask
    page = answer.to_ask.payment
    assert (page.status, page.lease.fence, page.attempt, page.flow) == ("sending", 1, 2, "checkout")
    assert await phases.commit(lease_payments, LeaseRequest(id=page.id)) == [None]
    pending = said(page, PaymentState.PENDING, checkout_url="https://pay.test/1")
    (answer,) = await phases.settled(
        PaymentReport(payment_id=page.id, outcome=pending, fence=1, answer=(request.key, reply))
    )
    assert answer
    assert answer.reply == reply(opened.order, answer.settled.payment)
    assert answer.settled.payment.status == "pending"
    assert await phases.commit(open_orders, request) == [answer.reply]


async def test_money_that_comes_for_the_declined_charge_closes_the_page(phases: PhaseRunner) -> None:
    request, opened = await charged(phases)
    await phases.settled(replace(declined(opened.payment, CONFIRM), answer=(request.key, reply), fence=1))
    await phases.settled(succeeded(opened.payment))
    rows = await phases.rows(
        "SELECT attempt, status, surplus FROM payments WHERE order_id = %s ORDER BY attempt", opened.order.id
    )
    assert rows == [(1, "succeeded", False), (2, "sending", True)]


@pytest.mark.parametrize("how", ["a page", "too late", "another reason"])
async def test_no_page_is_opened_where_it_cannot_help(phases: PhaseRunner, how: str) -> None:
    request, opened = await charged(phases)
    decline = CONFIRM
    if how == "a page":
        await phases.settled(declined(opened.payment, replace(CONFIRM, kind=DeclineKind.SOFT)))
        (opened,) = await phases.opened(want(FILM))
    elif how == "too late":
        await phases.advance(timedelta(hours=25))
    else:
        decline = replace(CONFIRM, kind=DeclineKind.HARD)
    (answer,) = await phases.settled(replace(declined(opened.payment, decline), answer=(request.key, reply)))
    assert answer
    assert answer.to_ask is None
    assert await phases.value("SELECT status FROM orders WHERE id = %s", opened.order.id) == "canceled"
    assert await phases.value("SELECT count(*) FROM payments WHERE attempt > 1") == 0


async def test_a_charge_that_its_provider_holds_until_the_customer_confirms_shows_the_link(
    phases: PhaseRunner,
) -> None:
    _, opened = await charged(phases)
    held = said(opened.payment, PaymentState.ACTION_REQUIRED, checkout_url="https://pay.test/3ds")
    (answer,) = await phases.settled(PaymentReport(payment_id=opened.payment.id, outcome=held))
    assert answer
    assert order_view(answer.settled.order, answer.settled.payment).checkout_url == "https://pay.test/3ds"
