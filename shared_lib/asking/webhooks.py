"""Asking the provider again about an event that cannot be believed as it came: a hint, or a contradiction."""

from __future__ import annotations

import structlog

from shared_lib.domain.values import replace
from shared_lib.phases.webhooks import Received, WebhookResult, settle_from_webhooks
from shared_lib.providers.base import (
    EventKind,
    NotFound,
    PaymentProvider,
    PaymentRef,
    PaymentState,
    ProviderEvent,
    RefundState,
    Trust,
)
from shared_lib.runtime import Runtime

log = structlog.get_logger("boxoffice")


async def settle_event(
    rt: Runtime, provider: PaymentProvider, event: ProviderEvent, *, again: bool = False
) -> WebhookResult:
    """Settle one event. A hint is fetched first; a contradiction is fetched after, and what is true now is settled."""
    hint = event.trust is Trust.HINT
    if hint:
        try:
            event = await refreshed(provider, event)
        except NotFound:
            if again:
                raise
            # An invented id, or one of another shop: repeating it would change nothing.
            log.warning("hint_about_nothing", provider=provider.name, event_id=event.dedup_id)
            return WebhookResult.IGNORED
        if not again and _is_under_way(event):
            # It brings nothing, and must not use up the id of the event that will: a forger may have been first.
            log.info("hint_too_early", provider=provider.name, event_id=event.dedup_id)
            return WebhookResult.IGNORED
    received = Received(
        provider=provider.name, event=event, again=again, asked=hint, other_mode=_of_other_mode(rt, event)
    )
    result = await rt.run(settle_from_webhooks, received)
    if result is not WebhookResult.CONTRADICTION or received.asked:
        return result
    true_now = await refreshed(provider, event)
    asked = replace(received, event=true_now, again=True, asked=True, other_mode=_of_other_mode(rt, true_now))
    return await rt.run(settle_from_webhooks, asked)


def _is_under_way(event: ProviderEvent) -> bool:
    """Whether the object has not ended yet, as far as the provider says now."""
    if event.refund:
        return event.refund.state in (RefundState.PENDING, RefundState.ACTION_REQUIRED)
    return event.payment is not None and event.payment.state in (
        PaymentState.PENDING,
        PaymentState.ACTION_REQUIRED,
    )


def _of_other_mode(rt: Runtime, event: ProviderEvent) -> bool:
    """Whether the event speaks of play money in production, or of real money anywhere else."""
    if event.payment is None or event.payment.livemode is rt.settings.livemode:
        return False
    livemode, ref = event.payment.livemode, event.payment.ref
    log.error("other_mode", provider=ref.provider, payment=ref.provider_payment_id, livemode=livemode)
    return True


async def refreshed(provider: PaymentProvider, event: ProviderEvent) -> ProviderEvent:
    """The event with the provider's object as it is now."""
    match event.kind:
        case EventKind.PAYMENT:
            ref = event.payment.ref if event.payment else _ref(provider, event)
            return replace(event, payment=await provider.fetch_payment(ref))
        case EventKind.REFUND if returned := event.refund.payment if event.refund else event.returns:
            found = await provider.fetch_refund(event.object_id, returned)
            # With its payment: a refund of more than we know to be there may return what we have not heard of.
            return replace(event, refund=found, payment=await provider.fetch_payment(found.payment))
        case _:
            return event


def _ref(provider: PaymentProvider, event: ProviderEvent) -> PaymentRef:
    return PaymentRef(provider=provider.name, provider_payment_id=event.object_id)
