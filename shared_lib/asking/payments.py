"""Asking a provider, outside any transaction. Whatever happens becomes an observation that can be settled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog

from shared_lib.domain.payment import PaymentFlow, PaymentStatus
from shared_lib.domain.refund import RefundStatus
from shared_lib.domain.written import mailable, plain_reference, shown_title
from shared_lib.phases.claims import Claimed, ClaimedRefund
from shared_lib.phases.observations import Observed, ObservedRefund, Silence
from shared_lib.providers.base import (
    BadCredentials,
    ChargeRequest,
    CheckoutRequest,
    InputRejected,
    InvalidRequest,
    NotAllowed,
    NotFound,
    PaymentProvider,
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    ProviderError,
    RateLimited,
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

# How long anybody asks, be it in two calls. A lease outlives it, so whoever takes over finds nobody asking any more.
ASK_S = 35.0

log = structlog.get_logger("boxoffice")


async def ask_payment(rt: Runtime, claimed: Claimed, *, timeout_s: float = ASK_S) -> Observed:
    """Move one payment on: send it, find what became of it, or close it when nobody wants it any longer.

    `timeout_s` is how long somebody waits for the answer; past it the outcome is unknown, never failed.
    """
    payment = claimed.payment
    try:
        async with asyncio.timeout(timeout_s):
            said = await _move_on(_provider(rt, payment.provider), rt.settings.public_url, claimed)
    except TimeoutError:
        said = Silence.TIMED_OUT
    except ProviderError as error:
        said = _silence(error, first=claimed.status_before is PaymentStatus.CREATED, payment=payment.id)
    except Exception:  # a bug met with one payment must not take the answers about the others away
        log.exception("asking_failed", provider=payment.provider, payment=payment.id)
        said = Silence.TIMED_OUT
    return Observed(
        payment_id=payment.id, said=_of_our_mode(rt, payment.id, said), fence=payment.fence, asked=True
    )


def _of_our_mode(rt: Runtime, payment_id: str, said: PaymentSnapshot | Silence) -> PaymentSnapshot | Silence:
    """Play money buys nothing in production, and real money is not taken by a test: neither is an answer."""
    if isinstance(said, Silence) or said.livemode is rt.settings.livemode:
        return said
    log.error("other_mode", provider=said.ref.provider, payment=payment_id, livemode=said.livemode)
    return Silence.TIMED_OUT


def _provider(rt: Runtime, name: str) -> PaymentProvider:
    """Raises Unavailable when its settings were taken away: nothing can have been executed."""
    if name not in rt.providers:
        raise Unavailable(name, "not_configured", "it is not among BOXOFFICE_PROVIDERS")
    return rt.providers[name]


async def _move_on(provider: PaymentProvider, public_url: str, claimed: Claimed) -> PaymentSnapshot | Silence:
    try:
        found = await _look_up(provider, claimed)
    except NotFound:
        return await _lost(provider, claimed)
    if found is None:
        return await _send_or_let_go(provider, public_url, claimed)
    if not claimed.wanted and found.state in (PaymentState.PENDING, PaymentState.ACTION_REQUIRED):
        return await provider.cancel_checkout(found.ref, f"{claimed.payment.id}-close")
    if found.state is PaymentState.APPROVED and claimed.wanted:
        return await provider.complete_checkout(found.ref, f"{claimed.payment.id}-complete")
    return found


async def _look_up(provider: PaymentProvider, claimed: Claimed) -> PaymentSnapshot | None:
    """What the provider has of this payment. Nothing was sent for one that was only created.

    Raises NotFound when the provider does not know an object that it has named to us.
    """
    payment = claimed.payment
    if claimed.status_before is PaymentStatus.CREATED:
        return None
    if payment.provider_ref:
        ref = PaymentRef(
            provider=payment.provider,
            provider_payment_id=payment.provider_ref,
            capture_id=payment.provider_capture_ref,
        )
        return await provider.fetch_payment(ref)
    return await _found(provider, claimed)


async def _found(provider: PaymentProvider, claimed: Claimed) -> PaymentSnapshot | None:
    """By our own id; a search that answers 404 found none."""
    try:
        return await provider.find_payment(claimed.payment.id, claimed.payment.created_at - CLOCK_SKEW)
    except NotFound:
        return None


async def _lost(provider: PaymentProvider, claimed: Claimed) -> PaymentSnapshot | Silence:
    """The provider does not know its own object. A search by our id must agree, and it must be time to end.

    Then it never happened. If its money comes all the same, it is late money, which is never ignored.
    """
    payment, found = claimed.payment, await _found(provider, claimed)
    if found and found.ref.provider_payment_id == payment.provider_ref:
        return found
    ended = _may_end(provider, claimed)
    facts = {"provider": payment.provider, "payment": payment.id, "theirs": payment.provider_ref}
    if ended:
        log.error("payment_lost", **facts, closed=True)
        return Silence.NEVER_HAPPENED
    log.warning("payment_lost", **facts, closed=False)
    return found if found and found.captured else Silence.TIMED_OUT


def _may_end(provider: PaymentProvider, claimed: Claimed) -> bool:
    """Whether a lost payment is closed now: its customer cancels it, it has been looked for since its order expired,
    or its key's life is over, within which an object that was only slow to appear would have appeared.
    """
    if not claimed.wanted:
        overdue = claimed.now - claimed.order.expires_at
        return claimed.by_customer or not timedelta() <= overdue < LOST_FOR
    return claimed.now - (claimed.payment.first_sent_at or claimed.now) > _key_lives(provider)


def _key_lives(provider: PaymentProvider) -> timedelta:
    return provider.capabilities.idempotency_ttl - KEY_MARGIN


async def _send_or_let_go(
    provider: PaymentProvider, public_url: str, claimed: Claimed
) -> PaymentSnapshot | Silence:
    """The provider has none. While its key lives the same key is sent (again); after that it never happened."""
    payment = claimed.payment
    age = claimed.now - (payment.first_sent_at or claimed.now)
    if not claimed.wanted:
        sure = claimed.status_before is PaymentStatus.CREATED or age > IN_FLIGHT_MAX
        return Silence.NEVER_HAPPENED if sure else Silence.TIMED_OUT
    if age > _key_lives(provider):
        return Silence.NEVER_HAPPENED
    return await _send(provider, public_url, claimed)


async def _send(provider: PaymentProvider, public_url: str, claimed: Claimed) -> PaymentSnapshot | Silence:
    payment, order, can = claimed.payment, claimed.order, provider.capabilities
    description = shown_title(order.product_title, can.description_max, otherwise=order.product_id)
    if payment.flow is PaymentFlow.CHECKOUT:
        return_url = order.return_url or public_url
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
                customer_email=mailable(claimed.email),
                expires_in=max(order.expires_at - claimed.now, timedelta(minutes=30)),
            )
        )
    if claimed.method is None:
        return Silence.NO_METHOD
    if not payment.amount:
        return Silence.NOTHING_DUE
    if payment.amount.minor < can.minimum_minor.get(payment.amount.currency, 0):
        log.error(
            "amount_too_small", provider=payment.provider, payment=payment.id, amount=str(payment.amount)
        )
        return Silence.TOO_SMALL
    charge = ChargeRequest(
        payment_id=payment.id,
        order_id=order.id,
        amount=payment.amount,
        method=claimed.method,
        description=description,
        idempotency_key=payment.id,
    )
    try:
        return await provider.charge(charge)
    except NotFound as error:
        if claimed.status_before is not PaymentStatus.CREATED:
            raise  # an earlier request with this key may have been executed
        log.warning("method_unknown", provider=error.provider, code=error.code, payment=payment.id)
        return Silence.METHOD_UNKNOWN


async def ask_refund(rt: Runtime, claimed: ClaimedRefund, *, timeout_s: float = ASK_S) -> ObservedRefund:
    """Move one refund on: send it, or find what became of it."""
    refund = claimed.refund
    try:
        async with asyncio.timeout(timeout_s):
            said = await _give_back(_provider(rt, claimed.provider), claimed)
    except TimeoutError:
        said = Silence.TIMED_OUT
    except RefundRejected as error:
        log.warning("refund_rejected", refund=refund.id, code=error.code)
        said = Silence.REFUSED
    except ProviderError as error:
        said = _silence(error, first=claimed.status_before is RefundStatus.REQUESTED, refund=refund.id)
    except Exception:  # as above
        log.exception("asking_failed", provider=claimed.provider, refund=refund.id)
        said = Silence.TIMED_OUT
    return ObservedRefund(refund_id=refund.id, said=said, fence=refund.fence)


async def _give_back(provider: PaymentProvider, claimed: ClaimedRefund) -> RefundSnapshot | Silence:
    refund = claimed.refund
    if claimed.status_before is not RefundStatus.REQUESTED:
        if found := await _find_refund(provider, claimed):
            return found
        age = claimed.now - (refund.first_sent_at or claimed.now)
        if age > _key_lives(provider):
            return Silence.NEVER_HAPPENED
        if refund.provider_ref:
            return Silence.TIMED_OUT  # it was made, so it is not sent again
    return await provider.refund(
        RefundRequest(
            payment=claimed.payment,
            refund_id=refund.id,
            amount=refund.amount,
            idempotency_key=refund.id,
        )
    )


async def _find_refund(provider: PaymentProvider, claimed: ClaimedRefund) -> RefundSnapshot | None:
    """By the provider's id, and by ours when the provider does not know it any more."""
    refund = claimed.refund
    if refund.provider_ref:
        with suppress(NotFound):
            return await provider.fetch_refund(refund.provider_ref, claimed.payment)
        log.error("refund_lost", provider=claimed.provider, refund=refund.id, theirs=refund.provider_ref)
    with suppress(NotFound):
        return await provider.find_refund(refund.id, claimed.payment)
    return None


def _silence(error: ProviderError, *, first: bool, **what: str) -> Silence:
    """An error as an observation. Only the first send of a key can be known not to have been executed."""
    facts = {"provider": error.provider, "error": type(error).__name__, "code": error.code, **what}
    if isinstance(error, InputRejected):
        log.warning("provider_refused_input", **facts)
    elif error.pages:  # only a person can mend it
        log.error("provider_error", **facts)
    else:
        log.warning("provider_error", **facts)
    if error.may_have_executed or not first:
        return Silence.TIMED_OUT
    match error:
        case Unavailable() | RateLimited() | BadCredentials():
            return Silence.NOT_SENT  # credentials are ours to mend; the payment waits for it
        case InputRejected():
            return Silence.INPUT_REFUSED
        case InvalidRequest() | NotAllowed() | NotFound():
            return Silence.REFUSED
        case _:
            return Silence.TIMED_OUT
