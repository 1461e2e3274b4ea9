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
from tests.providers.world import PRICE, World, checkout_of, paid, raw, refund_of


async def test_partial_refunds_add_up_to_the_whole_and_not_a_cent_more(world: World) -> None:
    payment = await paid(world)
    request = refund_of(payment, Money(300, "EUR"))
    part = await world.provider.refund(request)
    assert (part.state, part.amount, part.our_refund_id) == (
        RefundState.SUCCEEDED,
        Money(300, "EUR"),
        request.refund_id,
    )
    with pytest.raises(RefundRejected) as rejected:
        await world.provider.refund(refund_of(payment, Money(1000, "EUR")))
    assert not rejected.value.may_have_executed

    rest = await world.provider.refund(refund_of(payment))
    assert rest.amount == Money(999, "EUR")
    with pytest.raises(RefundRejected):
        await world.provider.refund(refund_of(payment))
    after = await world.provider.fetch_payment(payment.ref)
    assert (after.state, after.captured, after.refunded) == (PaymentState.SUCCEEDED, PRICE, PRICE)


async def test_the_same_refund_key_gives_back_once(world: World) -> None:
    payment = await paid(world)
    request = refund_of(payment, Money(300, "EUR"))
    assert await world.provider.refund(request) == await world.provider.refund(request)
    assert (await world.provider.fetch_payment(payment.ref)).refunded == Money(300, "EUR")
    other = RefundRequest(
        payment=payment.ref,
        refund_id=request.refund_id,
        amount=Money(301, "EUR"),
        idempotency_key=request.idempotency_key,
    )
    with pytest.raises(IdempotencyMismatch):
        await world.provider.refund(other)


async def test_a_refund_whose_answer_is_lost_is_found_by_our_id(world: World) -> None:
    payment = await paid(world)
    request = refund_of(payment)
    assert await world.provider.find_refund(request.refund_id, payment.ref) is None
    await world.trouble("drop_after", operation="refund.create")
    with pytest.raises(OutcomeUnknown):
        await world.provider.refund(request)
    found = await world.provider.find_refund(request.refund_id, payment.ref)
    assert found
    assert found == await world.provider.fetch_refund(found.provider_refund_id, payment.ref)
    assert found == await world.provider.refund(request)


@pytest.mark.parametrize(
    "answer",
    [{"amount_minor": 301}, {"currency": "USD"}, {"payment": "sp_other"}, {"metadata": {"refund_id": "x"}}],
)
async def test_a_refund_of_something_else_is_refused(world: World, answer: dict[str, object]) -> None:
    payment = await paid(world)
    await world.trouble("tampered", operation="refund.create", set=answer)
    with pytest.raises(AnswerMismatch):
        await world.provider.refund(refund_of(payment, Money(300, "EUR")))


async def test_an_unpaid_payment_cannot_be_refunded(world: World) -> None:
    opened = await world.provider.create_checkout(checkout_of())
    with pytest.raises(RefundRejected):
        await world.provider.refund(refund_of(opened))


async def test_a_slow_refund_is_pending_and_then_succeeds(world: World) -> None:
    payment = await paid(world, "refund_pends")
    request = refund_of(payment)
    refund = await world.provider.refund(request)
    assert refund.state is RefundState.PENDING
    assert (await world.provider.fetch_payment(payment.ref)).refunded.minor == 0
    await world.advance(timedelta(minutes=1))
    [delivery] = await world.inbox.wait(request.refund_id, "refund.succeeded")
    [event] = await world.provider.parse_webhook(await raw(world, delivery))
    assert (event.kind, event.trust) == (EventKind.REFUND, Trust.SIGNED)
    assert event.refund == await world.provider.fetch_refund(refund.provider_refund_id, payment.ref)
    assert event.refund.payment_id == payment.payment_id


async def test_a_refund_may_fail_after_it_succeeded(world: World) -> None:
    payment = await paid(world)
    request = refund_of(payment)
    refund = await world.provider.refund(request)
    await world.fail_refund(refund.provider_refund_id)
    failed = await world.provider.fetch_refund(refund.provider_refund_id, payment.ref)
    assert (failed.state, failed.reason) == (RefundState.FAILED, "lost_or_stolen_card")
    assert (await world.provider.fetch_payment(payment.ref)).refunded.minor == 0
    await world.inbox.wait(request.refund_id, "refund.failed")
    assert (await world.provider.refund(refund_of(payment))).amount == PRICE, "it can be given back again"


# ---- webhooks ----------------------------------------------------------------------------------------------


async def test_a_duplicate_has_the_same_dedup_id(world: World) -> None:
    await world.disturb_webhooks("duplicate", 1)
    payment = await paid(world)
    deliveries = await world.inbox.wait(payment.payment_id or "", "payment.succeeded", count=2)
    events = [
        event for it in deliveries for event in await world.provider.parse_webhook(await raw(world, it))
    ]
    assert len(events) == 2
    assert events[0] == events[1]


async def test_reordered_webhooks_each_carry_their_own_observation(world: World) -> None:
    await world.disturb_webhooks("hold", 2)
    payment = await paid(world, "slow")
    await world.advance(timedelta(minutes=1))
    await world.release_webhooks()
    deliveries = await world.inbox.wait(payment.payment_id or "", count=2)
    events = [
        event for it in deliveries for event in await world.provider.parse_webhook(await raw(world, it))
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
async def test_a_forged_webhook_is_rejected(world: World, headers: dict[str, str], reason: str) -> None:
    payment = await paid(world)
    [delivery] = await world.inbox.wait(payment.payment_id or "", "payment.succeeded")
    signature = delivery.headers["webhook-signature"].partition(",")[2]
    forged = delivery.headers | {name: value.format(signature=signature) for name, value in headers.items()}
    with pytest.raises(WebhookRejected) as rejected:
        await world.provider.parse_webhook(await raw(world, delivery, headers=forged))
    assert rejected.value.code == reason


async def test_a_changed_body_is_rejected(world: World) -> None:
    payment = await paid(world)
    [delivery] = await world.inbox.wait(payment.payment_id or "", "payment.succeeded")
    with pytest.raises(WebhookRejected):
        await world.provider.parse_webhook(
            await raw(world, delivery, body=delivery.body.replace(b"1299", b"1298"))
        )
    with pytest.raises(WebhookRejected):
        await world.provider.parse_webhook(await raw(world, delivery, body=delivery.body + b" "))


@pytest.mark.parametrize("off", [timedelta(seconds=330), timedelta(seconds=-330)])
async def test_a_webhook_from_the_past_or_the_future_is_rejected(world: World, off: timedelta) -> None:
    payment = await paid(world)
    [delivery] = await world.inbox.wait(payment.payment_id or "", "payment.succeeded")
    with pytest.raises(WebhookRejected) as rejected:
        await world.provider.parse_webhook(await raw(world, delivery, received_at=await world.now() + off))
    assert rejected.value.code == "stale_timestamp"
