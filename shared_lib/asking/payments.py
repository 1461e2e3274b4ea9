"""Asking a provider, outside any transaction. Whatever happens becomes a report that can be settled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from shared_lib.asking.failures import failure_of, local_outcome, no_answer_within, our_own
from shared_lib.billing.leasing import LeasedPayment, LeasedRefund, Purpose, payment_ref
from shared_lib.billing.reports import LocalOutcome, PaymentReport, RefundReport
from shared_lib.contract.routes import AFTER_PAYMENT
from shared_lib.domain.payment import PaymentFlow, PaymentStatus
from shared_lib.domain.refund import RefundStatus
from shared_lib.domain.written import mailable, plain_reference, shown_title
from shared_lib.providers.base import (
    ChargeRequest,
    CheckoutRequest,
    NotFound,
    PaymentProvider,
    PaymentSnapshot,
    PaymentState,
    ProviderError,
    RefundRejected,
    RefundRequest,
    RefundSnapshot,
    Unavailable,
)
from shared_lib.runtime import Runtime

# A search must not miss what was made while clocks disagreed.
CLOCK_SKEW = timedelta(minutes=10)
# The provider forgets keys; we stop trusting one this long before.
KEY_MARGIN = timedelta(hours=1)
# A payment past its time that its provider does not know is looked for this long, about seven times.
LOST_FOR = timedelta(hours=1)
# A request that is still on its way arrives within this, or never.
IN_FLIGHT_MAX = timedelta(minutes=10)

# How long a provider is asked, be it in two calls. A lease outlives it: the process that takes one over asks alone.
ASK_S = 35.0

log = structlog.get_logger("boxoffice")


async def ask_payment(rt: Runtime, leased: LeasedPayment, *, timeout_s: float = ASK_S) -> PaymentReport:
    """Move one payment on: send it, find what became of it, or close it when no order needs it any longer.

    `timeout_s` is how long the caller waits for the answer; past it the outcome is unknown, never failed.
    """
    payment, failure = leased.payment, None
    try:
        async with asyncio.timeout(timeout_s):
            outcome = await _move_payment_on(_provider(rt, payment.provider), rt.settings.public_url, leased)
    except TimeoutError:
        outcome, failure = LocalOutcome.TIMED_OUT, no_answer_within(timeout_s)
    except ProviderError as error:
        outcome = local_outcome(
            error, first=leased.status_before is PaymentStatus.CREATED, payment=payment.id
        )
        failure = failure_of(error)
    except Exception as error:  # a bug met with one payment must not take the answers about the others away
        log.exception("asking_failed", provider=payment.provider, payment=payment.id)
        outcome, failure = LocalOutcome.TIMED_OUT, our_own(error)
    return PaymentReport(
        payment_id=payment.id,
        outcome=of_our_mode(rt, payment.id, outcome),
        fence=payment.lease.fence,
        asked=True,
        failure=failure,
    )


def of_our_mode(
    rt: Runtime, payment_id: str, outcome: PaymentSnapshot | LocalOutcome
) -> PaymentSnapshot | LocalOutcome:
    """Play money buys nothing in production, and real money is not taken by a test: neither is an answer."""
    if isinstance(outcome, LocalOutcome) or outcome.livemode is rt.settings.livemode:
        return outcome
    log.error("other_mode", provider=outcome.ref.provider, payment=payment_id, livemode=outcome.livemode)
    return LocalOutcome.TIMED_OUT


def _provider(rt: Runtime, name: str) -> PaymentProvider:
    """Raises Unavailable when its settings were taken away: nothing can have been executed."""
    if name not in rt.providers:
        raise Unavailable(name, "not_configured", "it is not among BOXOFFICE_PROVIDERS")
    return rt.providers[name]


async def _move_payment_on(
    provider: PaymentProvider, public_url: str, leased: LeasedPayment
) -> PaymentSnapshot | LocalOutcome:
    try:
        found = await _look_up(provider, leased)
    except NotFound:
        return await _lost(provider, leased)
    if found is None:
        return await _send_or_close(provider, public_url, leased)
    if leased.purpose is Purpose.CLOSE and found.state in (
        PaymentState.PENDING,
        PaymentState.ACTION_REQUIRED,
    ):
        return await provider.cancel_checkout(found.ref, f"{leased.payment.id}-close")
    if found.state is PaymentState.APPROVED and leased.purpose is Purpose.COLLECT:
        return await provider.complete_checkout(found.ref, f"{leased.payment.id}-complete")
    return found


async def _look_up(provider: PaymentProvider, leased: LeasedPayment) -> PaymentSnapshot | None:
    """What the provider has of this payment. Nothing was sent for one that was only created.

    Raises NotFound when the provider does not know an object that it has named to us.
    """
    payment = leased.payment
    if leased.status_before is PaymentStatus.CREATED:
        return None
    if payment.provider_ref:
        return await provider.fetch_payment(payment_ref(payment))
    return await _found(provider, leased)


async def _found(provider: PaymentProvider, leased: LeasedPayment) -> PaymentSnapshot | None:
    """By our own id; a search that answers 404 found none."""
    try:
        return await provider.find_payment(leased.payment.id, leased.payment.created_at - CLOCK_SKEW)
    except NotFound:
        return None


async def _lost(provider: PaymentProvider, leased: LeasedPayment) -> PaymentSnapshot | LocalOutcome:
    """The provider does not know its own object. A search by our id must agree, and it must be time to end.

    Then it never happened. If its money comes all the same, it is late money, which is settled.
    """
    payment, found = leased.payment, await _found(provider, leased)
    if found and found.ref.provider_payment_id == payment.provider_ref:
        return found
    ended = _may_end(provider, leased)
    facts = {"provider": payment.provider, "payment": payment.id, "theirs": payment.provider_ref}
    if ended:
        log.error("payment_lost", **facts, closed=True)
        return LocalOutcome.NEVER_HAPPENED
    log.warning("payment_lost", **facts, closed=False)
    return found if found and found.captured else LocalOutcome.TIMED_OUT


def _may_end(provider: PaymentProvider, leased: LeasedPayment) -> bool:
    """Whether a lost payment is closed now: its customer cancels it, it has been looked for since its order expired,
    or its key's life is over, within which an object that was only slow to appear would have appeared.
    """
    if leased.purpose is Purpose.CLOSE:
        overdue = leased.now - leased.order.expires_at
        return leased.by_customer or not timedelta() <= overdue < LOST_FOR
    return leased.now - (leased.payment.lease.first_sent_at or leased.now) > _key_lives(provider)


def _key_lives(provider: PaymentProvider) -> timedelta:
    return provider.capabilities.idempotency_ttl - KEY_MARGIN


async def _send_or_close(
    provider: PaymentProvider, public_url: str, leased: LeasedPayment
) -> PaymentSnapshot | LocalOutcome:
    """The provider has none. While its key lives the same key is sent (again); after that it never happened."""
    age = leased.now - (leased.payment.lease.first_sent_at or leased.now)
    if leased.purpose is Purpose.CLOSE:
        sure = leased.status_before is PaymentStatus.CREATED or age > IN_FLIGHT_MAX
        return LocalOutcome.NEVER_HAPPENED if sure else LocalOutcome.TIMED_OUT
    if age > _key_lives(provider):
        return LocalOutcome.NEVER_HAPPENED
    return await _send(provider, public_url, leased)


async def _send(
    provider: PaymentProvider, public_url: str, leased: LeasedPayment
) -> PaymentSnapshot | LocalOutcome:
    payment, order, can = leased.payment, leased.order, provider.capabilities
    description = shown_title(order.product_title, can.description_max, otherwise=order.product_id)
    if payment.flow is PaymentFlow.CHECKOUT:
        return_url = order.return_url or public_url.rstrip("/") + AFTER_PAYMENT  # none of renewals
        return await provider.create_checkout(
            CheckoutRequest(
                payment_id=payment.id,
                order_id=order.id,
                amount=payment.amount,
                description=description,
                return_url=return_url,
                cancel_url=return_url,
                idempotency_key=payment.id,
                save_method=order.subscription_id is not None,
                customer_ref=plain_reference(order.customer_id, can.reference_max),
                customer_email=mailable(leased.email),
                expires_in=max(order.expires_at - leased.now, timedelta(minutes=30)),
            )
        )
    if leased.method is None:
        return leased.without_method
    if not payment.amount:
        return LocalOutcome.NOTHING_DUE
    if payment.amount.minor < can.minimum_minor.get(payment.amount.currency, 0):
        amount = str(payment.amount)
        log.error("amount_too_small", provider=payment.provider, payment=payment.id, amount=amount)
        return LocalOutcome.TOO_SMALL
    charge = ChargeRequest(
        payment_id=payment.id,
        order_id=order.id,
        amount=payment.amount,
        method=leased.method,
        description=description,
        idempotency_key=payment.id,
        customer_email=mailable(leased.email),
    )
    try:
        return await provider.charge(charge)
    except NotFound as error:
        if leased.status_before is not PaymentStatus.CREATED:
            raise  # an earlier request with this key may have been executed
        log.warning("method_unknown", provider=error.provider, code=error.code, payment=payment.id)
        return LocalOutcome.METHOD_UNKNOWN


async def ask_refund(rt: Runtime, leased: LeasedRefund, *, timeout_s: float = ASK_S) -> RefundReport:
    """Move one refund on: send it, or find what became of it."""
    refund, failure = leased.refund, None
    try:
        async with asyncio.timeout(timeout_s):
            outcome = await _send_or_find_refund(_provider(rt, leased.provider), leased)
    except TimeoutError:
        outcome, failure = LocalOutcome.TIMED_OUT, no_answer_within(timeout_s)
    except RefundRejected as error:
        log.warning("refund_rejected", refund=refund.id, code=error.code)
        outcome, failure = LocalOutcome.REFUSED, failure_of(error)
    except ProviderError as error:
        outcome = local_outcome(error, first=leased.status_before is RefundStatus.REQUESTED, refund=refund.id)
        failure = failure_of(error)
    except Exception as error:  # as above
        log.exception("asking_failed", provider=leased.provider, refund=refund.id)
        outcome, failure = LocalOutcome.TIMED_OUT, our_own(error)
    return RefundReport(refund_id=refund.id, outcome=outcome, fence=refund.lease.fence, failure=failure)


async def _send_or_find_refund(
    provider: PaymentProvider, leased: LeasedRefund
) -> RefundSnapshot | LocalOutcome:
    refund = leased.refund
    if leased.status_before is not RefundStatus.REQUESTED:
        if found := await _find_refund(provider, leased):
            return found
        age = leased.now - (refund.lease.first_sent_at or leased.now)
        if age > _key_lives(provider):
            return LocalOutcome.NEVER_HAPPENED
        if refund.provider_ref:
            return LocalOutcome.TIMED_OUT  # it was made, so it is not sent again
    return await provider.refund(
        RefundRequest(
            payment=leased.payment,
            refund_id=refund.id,
            amount=refund.amount,
            idempotency_key=refund.id,
            description=shown_title(
                leased.order.product_title,
                provider.capabilities.description_max,
                otherwise=leased.order.product_id,
            ),
            customer_email=mailable(leased.email),
        )
    )


async def _find_refund(provider: PaymentProvider, leased: LeasedRefund) -> RefundSnapshot | None:
    """By the provider's id, and by ours when the provider does not know it any more."""
    refund = leased.refund
    if refund.provider_ref:
        with suppress(NotFound):
            return await provider.fetch_refund(refund.provider_ref, leased.payment)
        log.error("refund_lost", provider=leased.provider, refund=refund.id, theirs=refund.provider_ref)
    with suppress(NotFound):
        return await provider.find_refund(refund.id, leased.payment)
    return None
