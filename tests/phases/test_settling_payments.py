from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import pytest

from shared_lib.billing.reports import LocalOutcome, PaymentReport
from shared_lib.domain.money import Money
from shared_lib.domain.payment import Decline, DeclineKind, PaymentStatus
from shared_lib.domain.values import replace
from shared_lib.providers.base import PaymentState
from tests.phases.runner import BASIC, FILM, STALKER, PhaseRunner, canceled, declined, said, succeeded, want


async def test_the_same_payment_twice_in_a_batch_is_collected_once(phases: PhaseRunner) -> None:
    (one,) = await phases.opened(want())
    answers = await phases.settled(succeeded(one.payment), succeeded(one.payment))
    assert [answer and answer.settled.payment.status for answer in answers] == [PaymentStatus.SUCCEEDED] * 2
    assert await phases.rows("SELECT amount_minor FROM ledger_entries") == [(1299,)]
    assert await phases.value("SELECT count(*) FROM entitlements") == 1
    assert [kind for _, kind, _ in await phases.events()] == [
        "billing.order.created",
        "billing.order.paid",
        "billing.payment.succeeded",
        "billing.entitlement.granted",
    ]


async def test_payments_nobody_knows_are_none_at_their_place(phases: PhaseRunner) -> None:
    one, other = await phases.opened(want(FILM), want(STALKER))
    stranger = replace(one.payment, id="pay_stranger")
    answers = await phases.settled(succeeded(one.payment), succeeded(stranger), succeeded(other.payment))
    assert [bool(answer) for answer in answers] == [True, False, True]
    assert await phases.value("SELECT count(*) FROM entitlements") == 2


@pytest.mark.parametrize("silence", [LocalOutcome.TIMED_OUT, LocalOutcome.NOT_SENT])
@pytest.mark.parametrize("fence", [0, 2])
async def test_silence_under_another_lease_means_nothing(
    phases: PhaseRunner, silence: LocalOutcome, fence: int
) -> None:
    (one,) = await phases.opened(want())
    (answer,) = await phases.settled(PaymentReport(payment_id=one.payment.id, outcome=silence, fence=fence))
    assert answer
    assert answer.settled.payment == one.payment
    assert await phases.value("SELECT status FROM payments") == "sending"


@pytest.mark.parametrize(
    ("silence", "status"), [(LocalOutcome.TIMED_OUT, "unknown"), (LocalOutcome.NOT_SENT, "created")]
)
async def test_silence_under_the_own_lease_is_believed(
    phases: PhaseRunner, silence: LocalOutcome, status: str
) -> None:
    (one,) = await phases.opened(want())
    await phases.settled(PaymentReport(payment_id=one.payment.id, outcome=silence, fence=1))
    assert await phases.value("SELECT status FROM payments") == status
    assert await phases.value("SELECT count(*) FROM outbox WHERE type = 'billing.job.start_payment'") == 1


async def test_money_outranks_every_other_report_in_whatever_order_they_come(phases: PhaseRunner) -> None:
    first, second = await phases.opened(want(FILM), want(STALKER))
    expired = [
        PaymentReport(payment_id=one.payment.id, outcome=said(one.payment, PaymentState.EXPIRED))
        for one in (first, second)
    ]
    await phases.settled(succeeded(first.payment), expired[0], expired[1], succeeded(second.payment))
    assert await phases.rows("SELECT status FROM payments") == [("succeeded",), ("succeeded",)]
    assert await phases.rows("SELECT status FROM orders") == [("paid",), ("paid",)]


async def test_an_amount_that_is_not_ours_is_an_alarm_and_changes_nothing(phases: PhaseRunner) -> None:
    (one,) = await phases.opened(want())
    wrong = said(one.payment, PaymentState.SUCCEEDED, amount=Money(1, "EUR"), captured=Money(1, "EUR"))
    (answer,) = await phases.settled(PaymentReport(payment_id=one.payment.id, outcome=wrong))
    assert answer
    assert answer.settled.alarm
    assert await phases.rows("SELECT status, captured_minor FROM payments") == [("sending", 0)]


@pytest.mark.parametrize("price_id", [FILM, BASIC, "prc_metropolis_rent"])
async def test_the_same_thing_paid_twice_in_one_batch_is_delivered_once(
    phases: PhaseRunner, price_id: str
) -> None:
    both = await phases.opened(want(price_id))
    await phases.settled(canceled(both[0].payment))
    both += await phases.opened(want(price_id))
    await phases.settled(*(succeeded(one.payment) for one in both))
    assert await phases.value("SELECT count(*) FROM entitlements") == 1
    assert await phases.value("SELECT count(*) FROM payments WHERE surplus") == 1
    assert await phases.value("SELECT count(*) FROM refunds WHERE surplus") == 1
    assert await phases.value("SELECT count(*) FROM orders WHERE status = 'pending'") == 0


async def test_a_film_rented_and_bought_in_one_batch_is_both(phases: PhaseRunner) -> None:
    both = await phases.opened(want("prc_metropolis_rent"), want(FILM))
    await phases.settled(*(succeeded(one.payment) for one in both))
    assert await phases.rows("SELECT DISTINCT status FROM orders") == [("paid",)]
    assert await phases.value("SELECT count(*) FROM payments WHERE surplus") == 0


async def test_events_of_a_subject_are_numbered_without_gaps_in_the_order_they_leave(
    phases: PhaseRunner,
) -> None:
    opened = await phases.opened(*(want(BASIC, f"c{n}") for n in range(5)))
    await phases.settled(*(canceled(one.payment) for one in opened))
    opened += await phases.opened(*(want(BASIC, f"c{n}") for n in range(5)))
    await phases.settled(*(succeeded(one.payment, card=f"sm_{n}") for n, one in enumerate(opened)))
    for _ in range(2):
        await phases.advance(timedelta(days=32))
        renewals = await phases.renewals()
        assert len(renewals) == 5
        await phases.settled(*(succeeded(one.payment) for one in renewals))
    numbers: dict[str, list[int]] = defaultdict(list)
    for subject, _, sequence in await phases.events():
        if sequence is not None:
            numbers[subject].append(sequence)
    assert len(numbers) == 10 + 2 * 5 + 5  # first orders, cycle orders, subscriptions that began
    for subject, counted in numbers.items():
        assert counted == list(range(1, len(counted) + 1)), subject


async def test_the_bank_s_own_wait_moves_the_next_try_to_a_later_day(phases: PhaseRunner) -> None:
    (one,) = await phases.opened(want(BASIC))
    await phases.settled(succeeded(one.payment, card="sm_1"))
    await phases.advance(timedelta(days=32))
    (leased,) = await phases.renewals()
    soft = Decline(
        kind=DeclineKind.SOFT, reason="limit", provider_code="limit", retry_after=timedelta(days=2)
    )
    await phases.settled(declined(leased.payment, soft))
    past_due_at, retry_at = (await phases.rows("SELECT past_due_at, next_retry_at FROM subscriptions"))[0]
    assert retry_at - past_due_at == timedelta(days=3)


async def test_a_chunk_is_settled_whole_declined_charged_and_silent_side_by_side(phases: PhaseRunner) -> None:
    opened = await phases.opened(*(want(BASIC, f"c{n}") for n in range(3)))
    await phases.settled(*(succeeded(one.payment, card=f"sm_{n}") for n, one in enumerate(opened)))
    await phases.advance(timedelta(days=32))
    paid, refused, silent = await phases.renewals()
    soft = Decline(kind=DeclineKind.SOFT, reason="limit", provider_code="limit")
    await phases.settled(
        succeeded(paid.payment),
        declined(refused.payment, soft),
        PaymentReport(
            payment_id=silent.payment.id, outcome=LocalOutcome.TIMED_OUT, fence=silent.payment.lease.fence
        ),
    )
    statuses = dict(await phases.rows("SELECT open_order_id IS NULL, status FROM subscriptions"))
    assert statuses[True] == "active"
    found = await phases.rows("SELECT status, count(*) FROM subscriptions GROUP BY status ORDER BY status")
    assert found == [("active", 2), ("past_due", 1)]
