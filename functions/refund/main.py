"""POST /v1/refunds: refund a payment, once, and never more than was taken.

CloudEvent billing.job.start_refund: send a refund that is already recorded (a surplus, for example).
POST /v1/refunds/{id}/approve, /reject: a second operator decides about a refund above one operator's limit.
CloudEvent billing.job.find_refunds: the provider refunded more than we have recorded; record the refunds it lists.
GET /v1/refunds/{id}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pydantic import BaseModel
from starlette.requests import Request

from shared_lib.aside import Round
from shared_lib.asking.payments import ASK_S, ask_refund
from shared_lib.billing.adoption import FoundRefund
from shared_lib.billing.approvals import DecideRefund
from shared_lib.billing.events import JobType
from shared_lib.billing.leasing import LeaseRequest
from shared_lib.billing.refund_requests import OpenRefund
from shared_lib.billing.replies import SavedReply
from shared_lib.billing.returns import ReturnLimit
from shared_lib.contract import routes
from shared_lib.contract.commands import CreateRefund, RejectRefund
from shared_lib.contract.views import refund_reply, refund_view
from shared_lib.domain.errors import Code, Transient
from shared_lib.domain.messages import SetAsideKind
from shared_lib.domain.values import replace
from shared_lib.events.delivered import take_request
from shared_lib.events.incoming import Consumer, Incoming, data_of, hand_over, is_event
from shared_lib.log import note
from shared_lib.phases.adoption import adopt_refunds
from shared_lib.phases.approvals import decide_refunds
from shared_lib.phases.leases import lease_refunds
from shared_lib.phases.refunds import open_refunds, settle_refunds
from shared_lib.providers.base import ProviderError
from shared_lib.queries.account import Ask, refunds
from shared_lib.queries.refunds import refundable_ref
from shared_lib.runtime import runtime
from shared_lib.web import framework
from shared_lib.web.auth import CUSTOMER, OPERATOR, Principal
from shared_lib.web.dispatch import Calls, dispatch
from shared_lib.web.gated import gated
from shared_lib.web.http import (
    RefusedError,
    Reply,
    authenticated,
    body_of,
    endpoint,
    identified,
    note_operators_read,
    parse,
    refuse,
    unwrap,
)
from shared_lib.web.idempotency import once


@framework.http
@gated
@endpoint
async def refund(request: Request) -> Reply:
    if is_event(request):
        await take_request(take_job, request.headers, await body_of(request))
        return Reply(200)
    return await dispatch(request, CALLS)


async def give_back(request: Request) -> Reply:
    rt, principal = runtime(), await customer_or_operator(request)
    command = await parse(request, CreateRefund)

    async with once(rt, request, principal, routes.CREATE_REFUND, command) as slot:
        if slot.reply:
            return slot.reply

        wanted = OpenRefund(
            key=slot.key,
            order_id=command.order_id,
            requested_by=principal.customer_id,
            by_operator=principal.is_operator,
            as_customer=CUSTOMER in principal.scopes,
            limit=ReturnLimit(
                titles_max=rt.settings.self_refund_titles_max,
                window=timedelta(days=rt.settings.self_refund_window_days),
            ),
            alone_max_minor=rt.settings.operator_refund_max_minor,
            reason=command.reason,
            amount_minor=command.amount_minor,
            access=command.access,
            payment_id=command.payment_id,
            render=refund_reply,
            providers=rt.providers.keys(),
        )
        # Reserve the amount to refund,
        opened = await rt.run(open_refunds, wanted)
        if isinstance(opened, SavedReply):
            return await slot.repeat(opened)
        opened = unwrap(opened)
        note(order=opened.refund.order_id, refund=opened.refund.id)
        if opened.reply:
            return slot.answer(opened.reply)

        assert opened.to_ask is not None  # neither answered nor ours to ask would be a bug of open_refunds
        # then ask for it outside any transaction,
        report = await ask_refund(rt, opened.to_ask, timeout_s=rt.settings.provider_answer_s)
        # then commit what the provider answered.
        answered = await rt.run(settle_refunds, replace(report, answer=(slot.key, refund_reply)))
        assert answered is not None
        assert answered.reply is not None
        note(outcome=answered.settled.refund.status)
        return slot.answer(answered.reply)


async def approve(request: Request, refund_id: str) -> Reply:
    return await decide(refund_id, await authenticated(request, OPERATOR), rejected_because=None)


async def reject(request: Request, refund_id: str) -> Reply:
    principal = await authenticated(request, OPERATOR)
    return await decide(refund_id, principal, rejected_because=(await parse(request, RejectRefund)).reason)


async def decide(refund_id: str, principal: Principal, *, rejected_because: str | None) -> Reply:
    """It may be repeated, so it needs no idempotency key. After a crash, reconcile finishes an approval."""
    rt = runtime()
    note(refund=refund_id)
    wanted = DecideRefund(
        refund_id=refund_id,
        operator_id=principal.customer_id,
        rejected_because=rejected_because,
        providers=rt.providers.keys(),
    )
    decided = unwrap(await rt.run(decide_refunds, wanted))
    if decided.to_ask is None:
        return Reply(200, refund_view(decided.refund))
    report = await ask_refund(rt, decided.to_ask, timeout_s=rt.settings.provider_answer_s)
    answered = await rt.run(settle_refunds, report)
    assert answered is not None
    note(outcome=answered.settled.refund.status)
    return Reply(200, refund_view(answered.settled.refund))


async def show(request: Request, refund_id: str) -> Reply:
    principal = await customer_or_operator(request)
    whose = None if principal.is_operator else principal.customer_id
    found = await runtime().read(refunds, Ask(customer_id=whose, id=refund_id))
    if whose is None:
        note_operators_read(refund_id, found[0].order_id if found else None)
    if not found:
        raise refuse(Code.NOT_FOUND, "There is no such refund.")
    return Reply(200, refund_view(found[0]))


async def customer_or_operator(request: Request) -> Principal:
    principal = await identified(request)
    lacking = principal.lacks(CUSTOMER)
    if lacking and not principal.is_operator:
        raise RefusedError(lacking)
    return principal


async def take_job(event: Incoming) -> None:
    await hand_over(event, EVENTS, "refund")


class StartRefund(BaseModel):
    """Data of the job."""

    refund_id: str


async def start_refund(event: Incoming) -> None:
    """Ask the provider about one refund, in whatever status. A no-op when nothing is left to do."""
    rt, job = runtime(), data_of(event, StartRefund)
    round_ = Round(rt, SetAsideKind.REFUND)
    wanted = [LeaseRequest(id=job.refund_id, providers=rt.providers.keys())]
    for leased in await round_.run(lease_refunds, wanted, lambda want: want.id):
        if leased is None:
            continue
        note(refund=leased.refund.id, order=leased.refund.order_id)
        await round_.run(settle_refunds, [await ask_refund(rt, leased)], lambda report: report.refund_id)


class FindRefunds(BaseModel):
    """Data of the job."""

    payment_id: str


async def find_refunds(event: Incoming) -> None:
    """Record the refunds that the provider lists and we do not know. Running it again records none twice."""
    rt, job = runtime(), data_of(event, FindRefunds)
    ref = await rt.read(refundable_ref, job.payment_id)
    provider = rt.providers.get(ref.provider) if ref else None
    if ref is None or provider is None:
        return
    try:
        async with asyncio.timeout(ASK_S):
            found = [
                FoundRefund(payment_id=job.payment_id, outcome=it) async for it in provider.list_refunds(ref)
            ]
    except (ProviderError, TimeoutError) as error:
        raise Transient(f"{provider.name} does not answer: {type(error).__name__}") from error
    agreed = await rt.run_all(adopt_refunds, found)
    note(
        payment=job.payment_id, found=len(found), agreed=sum(agreed)
    )  # each refund that disagrees has logged its alarm


CALLS: Final[Calls] = {
    routes.CREATE_REFUND: give_back,
    routes.SHOW_REFUND: show,
    routes.APPROVE_REFUND: approve,
    routes.REJECT_REFUND: reject,
}
EVENTS: Final[Mapping[str, Consumer]] = {
    JobType.START_REFUND: start_refund,
    JobType.FIND_REFUNDS: find_refunds,
}
