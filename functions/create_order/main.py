"""POST /v1/orders: turn a price into an order and start collecting the money.

CloudEvent billing.job.start_payment: ask the provider, again or for the first time, about a payment that already exists.
POST /v1/orders/{id}/cancel: cancel an order that is not paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel
from starlette.requests import Request

from shared_lib.aside import Round
from shared_lib.asking.payments import ask_payment
from shared_lib.billing.cancellations import CancelOrder
from shared_lib.billing.events import JobType
from shared_lib.billing.leasing import LeasedPayment, LeaseRequest
from shared_lib.billing.order_requests import Buyer, OrderRequest
from shared_lib.billing.replies import Key, SavedReply
from shared_lib.contract import routes
from shared_lib.contract.commands import CreateOrder
from shared_lib.contract.views import order_reply, order_view
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.messages import SetAsideKind
from shared_lib.domain.values import replace
from shared_lib.events.delivered import take_request
from shared_lib.events.incoming import Consumer, Incoming, data_of, hand_over, is_event
from shared_lib.log import note
from shared_lib.phases.cancellations import open_cancellations
from shared_lib.phases.leases import lease_payments
from shared_lib.phases.orders import open_orders
from shared_lib.phases.payments import AnsweredPayment, settle_payments
from shared_lib.runtime import Runtime, runtime
from shared_lib.web import framework
from shared_lib.web.auth import Principal
from shared_lib.web.dispatch import Calls, dispatch
from shared_lib.web.gated import gated
from shared_lib.web.http import (
    RefusedError,
    Reply,
    authenticated,
    body_of,
    endpoint,
    header_of,
    parse,
    refuse,
    trace_of,
    unwrap,
)
from shared_lib.web.idempotency import Slot, once


@framework.http
@gated
@endpoint
async def create_order(request: Request) -> Reply:
    if is_event(request):
        await take_request(take_job, request.headers, await body_of(request))
        return Reply(200)
    return await dispatch(request, CALLS)


async def order(request: Request) -> Reply:
    rt, principal = runtime(), await authenticated(request)
    command = await parse(request, CreateOrder)
    return_url = check(rt, command)

    async with once(rt, request, principal, routes.CREATE_ORDER, command) as slot:
        if slot.reply:
            return slot.reply

        wanted = order_request(rt, request, principal, command, return_url=return_url, key=slot.key)
        # Commit what the customer wants,
        opened = await rt.run(open_orders, wanted)
        if isinstance(opened, SavedReply):
            return await slot.repeat(opened)
        opened = unwrap(opened)
        note(order=opened.order.id, payment=opened.payment.id, provider=opened.payment.provider)
        if opened.reply:
            return slot.answer(opened.reply)

        assert opened.to_ask is not None  # neither answered nor ours to ask would be a bug of open_orders
        settled = await collect(rt, opened.to_ask, slot)
        if settled.to_ask:  # the bank wants the customer to confirm: a checkout page for the same order
            settled = await collect(rt, replace(settled.to_ask, email=wanted.buyer.email), slot)
        assert settled.reply is not None
        note(outcome=settled.settled.payment.status)
        return slot.answer(settled.reply)


async def collect(rt: Runtime, to_ask: LeasedPayment, slot: Slot) -> AnsweredPayment:
    """Ask for money outside any transaction, then commit what the provider answered."""
    report = await ask_payment(rt, to_ask, timeout_s=rt.settings.provider_answer_s)
    settled = await rt.run(settle_payments, replace(report, answer=(slot.key, order_reply)))
    assert settled is not None  # the payment was committed before it was asked about
    return settled


def check(rt: Runtime, command: CreateOrder) -> str:
    """Refuse what can be refused without the database. Returns the return_url as the provider gets it."""
    return_url = rt.settings.page_to_return_to(command.return_url)
    if return_url is None:
        raise refuse(Code.RETURN_URL_FORBIDDEN, "return_url must start with an origin of the cinema.")
    longest = rt.keep("return_url_max", lambda: _longest_return_url(rt))
    if len(return_url) > longest:
        errors = [{"at": "return_url", "message": f"String should have at most {longest} characters"}]
        raise refuse(Code.BODY_INVALID, "The body is invalid; see `errors`.", errors=errors)
    if command.provider and command.provider not in rt.providers:
        raise refuse(Code.PROVIDER_UNKNOWN, f"Known providers: {', '.join(rt.providers)}.")
    if command.provider in rt.settings.providers_closed:
        raise refuse(Code.PROVIDER_CLOSED, f"{command.provider} accepts no new orders.")
    return return_url


def _longest_return_url(rt: Runtime) -> int:
    """The smallest limit of all providers: the order may be paid through any of them."""
    return min(provider.capabilities.return_url_max for provider in rt.providers.values())


def order_request(
    rt: Runtime, request: Request, principal: Principal, command: CreateOrder, *, return_url: str, key: Key
) -> OrderRequest:
    return OrderRequest(
        key=key,
        buyer=Buyer(
            customer_id=principal.customer_id,
            email=principal.email,
            locale=principal.locale,
            time_zone=principal.time_zone,
        ),
        price_id=command.price_id,
        return_url=return_url,
        terms=rt.terms(command.provider),
        render=order_reply,
        payment_method_id=command.payment_method_id,
        respond_async="respond-async" in (header_of(request, b"prefer") or ""),
        open_max=rt.settings.open_orders_max,
        trace=trace_of(request),
    )


async def take_job(event: Incoming) -> None:
    await hand_over(event, EVENTS, "create_order")


class StartPayment(BaseModel):
    """Data of the job."""

    payment_id: str


async def start_payment(event: Incoming) -> None:
    """Ask the provider about one payment, in whatever status. A no-op when nothing is left to do."""
    rt, job = runtime(), data_of(event, StartPayment)
    round_ = Round(rt, SetAsideKind.PAYMENT)
    requests = [LeaseRequest(id=job.payment_id, providers=rt.providers.keys())]
    for leased in await round_.run(lease_payments, requests, lambda request: request.id):
        if leased is None:
            continue
        note(order=leased.order.id, payment=leased.payment.id, provider=leased.payment.provider)
        report = replace(await ask_payment(rt, leased), trace=event.traceparent)
        await round_.run(settle_payments, [report], lambda one: one.payment_id)


async def cancel(request: Request, order_id: str) -> Reply:
    """Close the checkout at the provider. If the customer has paid meanwhile, the paid order stays and is the answer."""
    rt, principal = runtime(), await authenticated(request)
    note(order=order_id)
    opened = unwrap(
        await rt.run(open_cancellations, CancelOrder(customer_id=principal.customer_id, order_id=order_id))
    )
    if opened.to_ask is None:
        return Reply(200, order_view(opened.order, opened.payment))
    report = await ask_payment(rt, opened.to_ask, timeout_s=rt.settings.provider_answer_s)
    settled = await rt.run(settle_payments, report)
    assert settled is not None
    payment = settled.settled.payment
    if payment.is_live:
        unresolved = Refusal(Code.PAYMENT_UNRESOLVED, "The payment provider did not answer. Retry later.", 5)
        raise RefusedError(unresolved)
    note(payment=payment.id, outcome=payment.status)
    return Reply(200, order_view(settled.settled.order, payment))


CALLS: Final[Calls] = {routes.CREATE_ORDER: order, routes.CANCEL_ORDER: cancel}
EVENTS: Final[Mapping[str, Consumer]] = {JobType.START_PAYMENT: start_payment}
