"""The port's promises about giving money back and about webhooks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared_lib.providers.base import (
    AnswerMismatch,
    EventKind,
    IdempotencyMismatch,
    Money,
    OutcomeUnknown,
    PaymentState,
    RefundRejected,
    RefundRequest,
    RefundState,
    Trust,
    WebhookRejected,
)
from tests.providers.simulator import PRICE, ProviderSimulator, checkout_of, paid, raw, refund_of


async def test_partial_refunds_add_up_to_the_whole_and_not_a_cent_more(
    provider_under_test: ProviderSimulator,
) -> None:
    payment = await paid(provider_under_test)
    request = refund_of(payment, Money(300, "EUR"))
    part = await provider_under_test.provider.refund(request)
    assert (part.state, part.amount, part.our_refund_id) == (
        RefundState.SUCCEEDED,
        Money(300, "EUR"),
        request.refund_id,
    )
    with pytest.raises(RefundRejected) as rejected:
        await provider_under_test.provider.refund(refund_of(payment, Money(1000, "EUR")))
    assert not rejected.value.may_have_executed

    rest = await provider_under_test.provider.refund(refund_of(payment))
    assert rest.amount == Money(999, "EUR")
    with pytest.raises(RefundRejected):
        await provider_under_test.provider.refund(refund_of(payment))
    after = await provider_under_test.provider.fetch_payment(payment.ref)
    assert (after.state, after.captured, after.refunded) == (PaymentState.SUCCEEDED, PRICE, PRICE)


async def test_the_same_refund_key_gives_back_once(provider_under_test: ProviderSimulator) -> None:
    payment = await paid(provider_under_test)
    request = refund_of(payment, Money(300, "EUR"))
    assert await provider_under_test.provider.refund(request) == await provider_under_test.provider.refund(
        request
    )
    assert (await provider_under_test.provider.fetch_payment(payment.ref)).refunded == Money(300, "EUR")
    other = RefundRequest(
        payment=payment.ref,
        refund_id=request.refund_id,
        amount=Money(301, "EUR"),
        idempotency_key=request.idempotency_key,
    )
    with pytest.raises(IdempotencyMismatch):
        await provider_under_test.provider.refund(other)


async def test_a_refund_whose_answer_is_lost_is_found_by_our_id(
    provider_under_test: ProviderSimulator,
) -> None:
    payment = await paid(provider_under_test)
    request = refund_of(payment)
    assert await provider_under_test.provider.find_refund(request.refund_id, payment.ref) is None
    await provider_under_test.trouble("drop_after", operation="refund.create")
    with pytest.raises(OutcomeUnknown):
        await provider_under_test.provider.refund(request)
    found = await provider_under_test.provider.find_refund(request.refund_id, payment.ref)
    assert found
    assert found == await provider_under_test.provider.fetch_refund(found.provider_refund_id, payment.ref)
    assert found == await provider_under_test.provider.refund(request)


@pytest.mark.parametrize("answer", ["refund_amount", "refund_currency", "refund_payment", "refund_metadata"])
async def test_a_refund_of_something_else_is_refused(
    provider_under_test: ProviderSimulator, answer: str
) -> None:
    payment = await paid(provider_under_test)
    await provider_under_test.tamper(answer, operation="refund.create")
    with pytest.raises(AnswerMismatch):
        await provider_under_test.provider.refund(refund_of(payment, Money(300, "EUR")))


async def test_an_unpaid_payment_cannot_be_refunded(provider_under_test: ProviderSimulator) -> None:
    opened = await provider_under_test.provider.create_checkout(checkout_of())
    with pytest.raises(RefundRejected):
        await provider_under_test.provider.refund(refund_of(opened))


async def test_a_slow_refund_is_pending_and_then_succeeds(provider_under_test: ProviderSimulator) -> None:
    payment = await paid(provider_under_test, "refund_pends")
    request = refund_of(payment)
    refund = await provider_under_test.provider.refund(request)
    assert refund.state is RefundState.PENDING
    assert (await provider_under_test.provider.fetch_payment(payment.ref)).refunded.minor == 0
    await provider_under_test.advance(timedelta(minutes=1))
    [delivery] = await provider_under_test.deliveries(request.refund_id, "refund.succeeded")
    event = await provider_under_test.told(delivery)
    assert event.kind is EventKind.REFUND
    assert event.refund == await provider_under_test.provider.fetch_refund(
        refund.provider_refund_id, payment.ref
    )
    assert event.refund.payment.provider_payment_id == payment.ref.provider_payment_id


async def test_a_refund_may_fail_after_it_succeeded(provider_under_test: ProviderSimulator) -> None:
    payment = await paid(provider_under_test)
    request = refund_of(payment)
    refund = await provider_under_test.provider.refund(request)
    await provider_under_test.fail_refund(refund.provider_refund_id)
    failed = await provider_under_test.provider.fetch_refund(refund.provider_refund_id, payment.ref)
    assert (failed.state, failed.reason) == (RefundState.FAILED, provider_under_test.refund_failure)
    assert (await provider_under_test.provider.fetch_payment(payment.ref)).refunded.minor == 0
    if "refund.failed" in provider_under_test.types:  # elsewhere only asking tells it
        await provider_under_test.deliveries(request.refund_id, "refund.failed")
    assert (await provider_under_test.provider.refund(refund_of(payment))).amount == PRICE, (
        "it can be given back again"
    )


# ---- webhooks ----------------------------------------------------------------------------------------------


async def test_a_duplicate_has_the_same_dedup_id(provider_under_test: ProviderSimulator) -> None:
    await provider_under_test.disturb_webhooks("duplicate", 1)
    payment = await paid(provider_under_test)
    deliveries = await provider_under_test.deliveries(payment.payment_id or "", "payment.succeeded", count=2)
    first, again = [await provider_under_test.told(it) for it in deliveries]
    assert first == again


async def test_reordered_webhooks_each_tell_the_truth_of_their_time_or_of_now(
    provider_under_test: ProviderSimulator,
) -> None:
    changes = 2 if provider_under_test.tells_pending else 1
    await provider_under_test.disturb_webhooks("hold", changes)
    payment = await paid(provider_under_test, "slow")
    await provider_under_test.advance(timedelta(minutes=1))
    await provider_under_test.release_webhooks()
    deliveries = await provider_under_test.deliveries(payment.payment_id or "", "payment", count=changes)
    parsed = [
        event
        for it in deliveries
        for event in await provider_under_test.provider.parse_webhook(await raw(provider_under_test, it))
    ]
    assert len({event.dedup_id for event in parsed}) == changes
    said = [(await provider_under_test.told(it)).payment for it in deliveries]
    true_now = (PaymentState.SUCCEEDED, PRICE)
    # A hint has no observation of its own: what is true now is fetched.
    then = true_now if parsed[-1].trust is Trust.HINT else (PaymentState.PENDING, Money(0, "EUR"))
    assert [(it.state, it.captured) for it in said if it] == [true_now, then][:changes]


async def test_a_forged_webhook_is_rejected(signing_provider: ProviderSimulator) -> None:
    payment = await paid(signing_provider)
    [delivery] = await signing_provider.deliveries(payment.payment_id or "", "payment.succeeded")
    forged = signing_provider.forged(delivery)
    assert len(forged) > 4
    for headers, code in forged:
        with pytest.raises(WebhookRejected) as rejected:
            await signing_provider.provider.parse_webhook(
                await raw(signing_provider, delivery, headers=headers)
            )
        assert rejected.value.code == code, headers


async def test_a_changed_body_is_rejected(signing_provider: ProviderSimulator) -> None:
    payment = await paid(signing_provider)
    [delivery] = await signing_provider.deliveries(payment.payment_id or "", "payment.succeeded")
    with pytest.raises(WebhookRejected):
        await signing_provider.provider.parse_webhook(
            await raw(signing_provider, delivery, body=delivery.body.replace(b"1299", b"1298"))
        )
    with pytest.raises(WebhookRejected):
        await signing_provider.provider.parse_webhook(
            await raw(signing_provider, delivery, body=delivery.body + b" ")
        )


@pytest.mark.parametrize("off", [timedelta(seconds=330), timedelta(seconds=-330)])
async def test_a_webhook_from_the_past_or_the_future_is_rejected(
    signing_provider: ProviderSimulator, off: timedelta
) -> None:
    payment = await paid(signing_provider)
    [delivery] = await signing_provider.deliveries(payment.payment_id or "", "payment.succeeded")
    with pytest.raises(WebhookRejected) as rejected:
        await signing_provider.provider.parse_webhook(
            await raw(signing_provider, delivery, received_at=await signing_provider.now() + off)
        )
    assert rejected.value.code == "stale_timestamp"
