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


async def test_partial_refunds_add_up_to_the_whole_and_not_a_cent_more(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    request = refund_of(payment, Money(300, "EUR"))
    part = await simulator.provider.refund(request)
    assert (part.state, part.amount, part.our_refund_id) == (
        RefundState.SUCCEEDED,
        Money(300, "EUR"),
        request.refund_id,
    )
    with pytest.raises(RefundRejected) as rejected:
        await simulator.provider.refund(refund_of(payment, Money(1000, "EUR")))
    assert not rejected.value.may_have_executed

    rest = await simulator.provider.refund(refund_of(payment))
    assert rest.amount == Money(999, "EUR")
    with pytest.raises(RefundRejected):
        await simulator.provider.refund(refund_of(payment))
    after = await simulator.provider.fetch_payment(payment.ref)
    assert (after.state, after.captured, after.refunded) == (PaymentState.SUCCEEDED, PRICE, PRICE)


async def test_the_same_refund_key_gives_back_once(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    request = refund_of(payment, Money(300, "EUR"))
    assert await simulator.provider.refund(request) == await simulator.provider.refund(request)
    assert (await simulator.provider.fetch_payment(payment.ref)).refunded == Money(300, "EUR")
    other = RefundRequest(
        payment=payment.ref,
        refund_id=request.refund_id,
        amount=Money(301, "EUR"),
        idempotency_key=request.idempotency_key,
    )
    with pytest.raises(IdempotencyMismatch):
        await simulator.provider.refund(other)


async def test_a_refund_whose_answer_is_lost_is_found_by_our_id(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    request = refund_of(payment)
    assert await simulator.provider.find_refund(request.refund_id, payment.ref) is None
    await simulator.trouble("drop_after", operation="refund.create")
    with pytest.raises(OutcomeUnknown):
        await simulator.provider.refund(request)
    found = await simulator.provider.find_refund(request.refund_id, payment.ref)
    assert found
    assert found == await simulator.provider.fetch_refund(found.provider_refund_id, payment.ref)
    assert found == await simulator.provider.refund(request)


@pytest.mark.parametrize(
    "answer",
    [{"amount_minor": 301}, {"currency": "USD"}, {"payment": "sp_other"}, {"metadata": {"refund_id": "x"}}],
)
async def test_a_refund_of_something_else_is_refused(
    simulator: ProviderSimulator, answer: dict[str, object]
) -> None:
    payment = await paid(simulator)
    await simulator.trouble("tampered", operation="refund.create", set=answer)
    with pytest.raises(AnswerMismatch):
        await simulator.provider.refund(refund_of(payment, Money(300, "EUR")))


async def test_an_unpaid_payment_cannot_be_refunded(simulator: ProviderSimulator) -> None:
    opened = await simulator.provider.create_checkout(checkout_of())
    with pytest.raises(RefundRejected):
        await simulator.provider.refund(refund_of(opened))


async def test_a_slow_refund_is_pending_and_then_succeeds(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator, "refund_pends")
    request = refund_of(payment)
    refund = await simulator.provider.refund(request)
    assert refund.state is RefundState.PENDING
    assert (await simulator.provider.fetch_payment(payment.ref)).refunded.minor == 0
    await simulator.advance(timedelta(minutes=1))
    [delivery] = await simulator.inbox.wait(request.refund_id, "refund.succeeded")
    [event] = await simulator.provider.parse_webhook(await raw(simulator, delivery))
    assert (event.kind, event.trust) == (EventKind.REFUND, Trust.SIGNED)
    assert event.refund == await simulator.provider.fetch_refund(refund.provider_refund_id, payment.ref)
    assert event.refund.payment_id == payment.payment_id


async def test_a_refund_may_fail_after_it_succeeded(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    request = refund_of(payment)
    refund = await simulator.provider.refund(request)
    await simulator.fail_refund(refund.provider_refund_id)
    failed = await simulator.provider.fetch_refund(refund.provider_refund_id, payment.ref)
    assert (failed.state, failed.reason) == (RefundState.FAILED, "lost_or_stolen_card")
    assert (await simulator.provider.fetch_payment(payment.ref)).refunded.minor == 0
    await simulator.inbox.wait(request.refund_id, "refund.failed")
    assert (await simulator.provider.refund(refund_of(payment))).amount == PRICE, "it can be given back again"


# ---- webhooks ----------------------------------------------------------------------------------------------


async def test_a_duplicate_has_the_same_dedup_id(simulator: ProviderSimulator) -> None:
    await simulator.disturb_webhooks("duplicate", 1)
    payment = await paid(simulator)
    deliveries = await simulator.inbox.wait(payment.payment_id or "", "payment.succeeded", count=2)
    events = [
        event
        for it in deliveries
        for event in await simulator.provider.parse_webhook(await raw(simulator, it))
    ]
    assert len(events) == 2
    assert events[0] == events[1]


async def test_reordered_webhooks_each_carry_their_own_observation(simulator: ProviderSimulator) -> None:
    await simulator.disturb_webhooks("hold", 2)
    payment = await paid(simulator, "slow")
    await simulator.advance(timedelta(minutes=1))
    await simulator.release_webhooks()
    deliveries = await simulator.inbox.wait(payment.payment_id or "", count=2)
    events = [
        event
        for it in deliveries
        for event in await simulator.provider.parse_webhook(await raw(simulator, it))
    ]
    assert [it.payment.state for it in events if it.payment] == [PaymentState.SUCCEEDED, PaymentState.PENDING]
    assert [it.payment.captured for it in events if it.payment] == [PRICE, Money(0, "EUR")]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"webhook-signature": "v1,bm90IGl0"}, "bad_signature"),
        ({"webhook-signature": ""}, "bad_signature"),
        ({"webhook-signature": "v2,{signature}"}, "bad_signature"),
        ({"webhook-id": "evt_other"}, "bad_signature"),
        ({"webhook-id": ""}, "missing_headers"),
        ({"webhook-timestamp": "soon"}, "bad_timestamp"),
        ({"webhook-timestamp": "²"}, "bad_timestamp"),
    ],
)
async def test_a_forged_webhook_is_rejected(
    simulator: ProviderSimulator, headers: dict[str, str], reason: str
) -> None:
    payment = await paid(simulator)
    [delivery] = await simulator.inbox.wait(payment.payment_id or "", "payment.succeeded")
    signature = delivery.headers["webhook-signature"].partition(",")[2]
    forged = delivery.headers | {name: value.format(signature=signature) for name, value in headers.items()}
    with pytest.raises(WebhookRejected) as rejected:
        await simulator.provider.parse_webhook(await raw(simulator, delivery, headers=forged))
    assert rejected.value.code == reason


async def test_a_changed_body_is_rejected(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    [delivery] = await simulator.inbox.wait(payment.payment_id or "", "payment.succeeded")
    with pytest.raises(WebhookRejected):
        await simulator.provider.parse_webhook(
            await raw(simulator, delivery, body=delivery.body.replace(b"1299", b"1298"))
        )
    with pytest.raises(WebhookRejected):
        await simulator.provider.parse_webhook(await raw(simulator, delivery, body=delivery.body + b" "))


@pytest.mark.parametrize("off", [timedelta(seconds=330), timedelta(seconds=-330)])
async def test_a_webhook_from_the_past_or_the_future_is_rejected(
    simulator: ProviderSimulator, off: timedelta
) -> None:
    payment = await paid(simulator)
    [delivery] = await simulator.inbox.wait(payment.payment_id or "", "payment.succeeded")
    with pytest.raises(WebhookRejected) as rejected:
        await simulator.provider.parse_webhook(
            await raw(simulator, delivery, received_at=await simulator.now() + off)
        )
    assert rejected.value.code == "stale_timestamp"
