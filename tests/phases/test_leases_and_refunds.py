from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared_lib.billing.auto_renew import ChangeAutoRenew, ChangedAutoRenew
from shared_lib.billing.refund_requests import OpenedRefund, OpenRefund
from shared_lib.billing.replies import Key, SavedReply
from shared_lib.billing.reports import LocalOutcome, RefundReport
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.messages import NotificationStatus
from shared_lib.domain.playing import Played
from shared_lib.domain.refund import RefundStatus
from shared_lib.phases.auto_renew import change_auto_renew
from shared_lib.phases.notifications import (
    ClaimedNotification,
    ClaimNotification,
    MarkSent,
    claim_notifications,
    mark_sent,
)
from shared_lib.phases.playback import PlayResult, start_playback
from shared_lib.phases.refunds import open_refunds, settle_refunds
from shared_lib.phases.webhooks import Received, WebhookResult, settle_from_webhooks
from shared_lib.providers.base import (
    EventKind,
    PaymentState,
    ProviderEvent,
    RefundSnapshot,
    RefundState,
    Trust,
)
from tests.phases.runner import BASIC, FILM, STALKER, PhaseRunner, said, want


def give_back(order_id: str, key: str, **more: Any) -> OpenRefund:
    defaults: dict[str, Any] = {
        "requested_by": "oscar",
        "by_operator": True,
        "amount_minor": None,
        "access": None,
    }
    return OpenRefund(
        key=Key("oscar", "POST /v1/refunds", key, order_id.encode()),
        order_id=order_id,
        reason="test",
        render=lambda refund: SavedReply(201, refund.status.encode()),
        **(defaults | more),
    )


def returned(opened: OpenedRefund, state: RefundState = RefundState.SUCCEEDED) -> RefundReport:
    assert opened.to_ask
    snapshot = RefundSnapshot(
        provider_refund_id=f"sr_{opened.refund.id}",
        our_refund_id=opened.refund.id,
        payment=opened.to_ask.payment,
        state=state,
        amount=opened.refund.amount,
    )
    return RefundReport(refund_id=opened.refund.id, outcome=snapshot)


def event(id_: str, payment: Any, state: PaymentState = PaymentState.SUCCEEDED) -> Received:
    snapshot = said(payment, state)
    told = ProviderEvent(
        dedup_id=id_,
        kind=EventKind.PAYMENT,
        object_id=snapshot.ref.provider_payment_id,
        trust=Trust.SIGNED,
        occurred_at=payment.created_at,
        payment=snapshot,
        refund=None,
    )
    return Received(provider="sandbox", event=told)


# ---- leases ------------------------------------------------------------------------------------------------


async def test_two_claims_of_one_batch_lease_a_payment_once(phases: PhaseRunner) -> None:
    (one,) = await phases.opened(want(respond_async=True))
    (leased,) = await phases.leased([one.payment.id, one.payment.id, "pay_nobody"])
    assert leased.payment.lease.fence == 1


async def test_a_lease_that_is_over_is_taken_over_under_the_next_fence(phases: PhaseRunner) -> None:
    (one,) = await phases.opened(want())
    assert await phases.leased([one.payment.id]) == []
    await phases.advance(timedelta(seconds=61))
    (again,) = await phases.leased([one.payment.id])
    assert (again.payment.lease.fence, again.status_before) == (2, "sending")


# ---- refunds -----------------------------------------------------------------------------------------------


async def test_two_refunds_of_one_batch_share_what_was_taken(phases: PhaseRunner) -> None:
    (one,) = await phases.bought(want())
    answers = await phases.commit(
        open_refunds,
        give_back(one.order.id, "a", amount_minor=1000),
        give_back("ord_nobody", "b"),
        give_back(one.order.id, "c", amount_minor=300),
        give_back(one.order.id, "d", amount_minor=299),
    )
    codes = [answer.code if isinstance(answer, Refusal) else None for answer in answers]
    assert codes == [None, Code.NOT_FOUND, Code.REFUND_TOO_MUCH, None]
    assert await phases.value("SELECT refund_reserved_minor FROM payments") == 1299


@pytest.mark.parametrize("amount_minor", [0, -1])
async def test_a_refund_of_nothing_is_not_a_refund_of_everything(
    phases: PhaseRunner, amount_minor: int
) -> None:
    (one,) = await phases.bought(want())
    (answer,) = await phases.commit(open_refunds, give_back(one.order.id, "a", amount_minor=amount_minor))
    assert isinstance(answer, Refusal)
    assert await phases.value("SELECT refund_reserved_minor FROM payments") == 0


async def test_a_refund_reported_twice_in_a_batch_is_recorded_once(phases: PhaseRunner) -> None:
    (one,) = await phases.bought(want())
    (opened,) = await phases.commit(open_refunds, give_back(one.order.id, "a"))
    assert isinstance(opened, OpenedRefund)
    stranger = RefundReport(refund_id="ref_nobody", outcome=LocalOutcome.TIMED_OUT)
    answers = await phases.commit(settle_refunds, returned(opened), stranger, returned(opened))
    assert [answer and answer.settled.refund.status for answer in answers] == [
        RefundStatus.SUCCEEDED,
        None,
        RefundStatus.SUCCEEDED,
    ]
    assert await phases.rows("SELECT leg, amount_minor FROM ledger_entries ORDER BY entered_at") == [
        ("captured", 1299),
        ("refunded", 1299),
    ]


async def test_a_refund_that_failed_frees_its_reservation_once(phases: PhaseRunner) -> None:
    (one,) = await phases.bought(want())
    (opened,) = await phases.commit(open_refunds, give_back(one.order.id, "a"))
    assert isinstance(opened, OpenedRefund)
    await phases.commit(
        settle_refunds, returned(opened, RefundState.FAILED), returned(opened, RefundState.FAILED)
    )
    assert await phases.rows("SELECT refund_reserved_minor, refunded_minor FROM payments") == [(0, 0)]
    (late,) = await phases.commit(settle_refunds, returned(opened))
    assert late
    assert late.settled.alarm


# ---- what others tell us -----------------------------------------------------------------------------------


async def test_one_webhook_twice_in_a_batch_has_one_effect(phases: PhaseRunner) -> None:
    one, other = await phases.opened(want(FILM), want(STALKER))
    results = await phases.commit(
        settle_from_webhooks,
        event("evt_1", one.payment),
        event("evt_1", one.payment),
        event("evt_2", other.payment),
        event("evt_3", one.payment),
    )
    assert results == [
        WebhookResult.SETTLED,
        WebhookResult.DUPLICATE,
        WebhookResult.SETTLED,
        WebhookResult.SETTLED,
    ]
    assert await phases.value("SELECT count(*) FROM ledger_entries") == 2
    assert await phases.commit(settle_from_webhooks, event("evt_2", other.payment)) == [
        WebhookResult.DUPLICATE
    ]


async def test_one_play_twice_in_a_batch_starts_a_rental_once(phases: PhaseRunner) -> None:
    await phases.bought(want("prc_metropolis_rent"))
    now = await phases.now()
    plays = [
        Played(
            source="/cinema",
            event_id=f"evt_{n}",
            customer_id="ann",
            product_id="prd_metropolis",
            started_at=now,
        )
        for n in (1, 1, 2)
    ]
    assert await phases.commit(start_playback, *plays) == [
        PlayResult.STARTED,
        PlayResult.DUPLICATE,
        PlayResult.WATCHED_BEFORE,
    ]
    left = await phases.value("SELECT ends_at - first_played_at FROM entitlements")
    assert left == timedelta(hours=48)


async def test_one_event_twice_in_a_batch_is_one_notification(phases: PhaseRunner) -> None:
    await phases.opened(want())
    claim = ClaimNotification(event_id="evt_1", event_type="billing.order.paid", customer_id="ann")
    first, second = await phases.commit(claim_notifications, claim, claim)
    assert isinstance(first, ClaimedNotification)
    assert not isinstance(second, ClaimedNotification)
    await phases.commit(mark_sent, MarkSent(id=first.id, status=NotificationStatus.SENT))
    assert await phases.commit(claim_notifications, claim) == [None]


async def test_opting_out_twice_in_a_batch_with_strangers_between_changes_one(phases: PhaseRunner) -> None:
    await phases.bought(want(BASIC), want(BASIC, "bob"))
    rows = dict(await phases.rows("SELECT customer_id, id FROM subscriptions"))
    answers = await phases.commit(
        change_auto_renew,
        ChangeAutoRenew(customer_id="ann", subscription_id=rows["ann"], auto_renew=False),
        ChangeAutoRenew(customer_id="ann", subscription_id=rows["bob"], auto_renew=False),
        ChangeAutoRenew(customer_id="ann", subscription_id="sub_nobody", auto_renew=False),
        ChangeAutoRenew(customer_id="ann", subscription_id=rows["ann"], auto_renew=False),
    )
    assert [isinstance(answer, ChangedAutoRenew) for answer in answers] == [True, False, False, True]
    assert dict(await phases.rows("SELECT customer_id, auto_renew FROM subscriptions")) == {
        "ann": False,
        "bob": True,
    }
    told = [kind for _, kind, _ in await phases.events() if kind.endswith("auto_renew_changed")]
    assert len(told) == 1
