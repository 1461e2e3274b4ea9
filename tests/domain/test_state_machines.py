"""Every (status, event) pair is decided, and written here a second time by hand: a change must be meant twice.

A cell is the next status; `=` is old news (an edge back to the same status), `!` has no edge (a refusal or an alarm).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest

from shared_lib.domain.order import ORDER, OrderEvent, OrderStatus
from shared_lib.domain.payment import LIVE, PAYMENT, PaymentEvent, PaymentStatus
from shared_lib.domain.refund import REFUND, RefundEvent, RefundStatus
from shared_lib.domain.state_machine import NoSuchEdge, StateMachine
from shared_lib.domain.subscription import SUBSCRIPTION, SubscriptionEvent, SubscriptionStatus

Machine = StateMachine[Any, Any]

ORDERS = """
                   | payment_succeeded | canceled | expired  | refunded_nothing | refunded_part      | refunded_all
pending            | paid              | canceled | expired  | !                | !                  | !
paid               | !                 | !        | !        | =                | partially_refunded | refunded
canceled           | paid              | =        | =        | !                | !                  | !
expired            | paid              | =        | =        | !                | !                  | !
partially_refunded | !                 | !        | !        | paid             | =                  | refunded
refunded           | !                 | !        | !        | paid             | partially_refunded | =
"""

PAYMENTS = """
                | claimed | not_sent | went_pending | needs_action    | succeeded | declined | canceled | expired | timed_out
created         | sending | !        | pending      | action_required | succeeded | declined | canceled | expired | !
sending         | =       | created  | pending      | action_required | succeeded | declined | canceled | expired | unknown
pending         | !       | =        | =            | action_required | succeeded | declined | canceled | expired | =
action_required | !       | =        | pending      | =               | succeeded | declined | canceled | expired | =
succeeded       | !       | =        | =            | =               | =         | =        | =        | =       | =
declined        | !       | =        | =            | =               | succeeded | =        | =        | =       | =
canceled        | !       | =        | =            | =               | succeeded | =        | =        | =       | =
expired         | !       | =        | =            | =               | succeeded | =        | =        | =       | =
unknown         | =       | =        | pending      | action_required | succeeded | declined | canceled | expired | =
"""

REFUNDS = """
                  | claimed | not_sent  | went_pending | succeeded | failed | timed_out | held              | approved  | rejected
awaiting_approval | !       | !         | !            | !         | !      | !         | !                 | requested | rejected
rejected          | !       | !         | !            | !         | !      | !         | !                 | !         | !
requested         | sending | !         | pending      | succeeded | failed | !         | awaiting_approval | !         | !
sending           | =       | requested | pending      | succeeded | failed | unknown   | !                 | !         | !
pending           | !       | =         | =            | succeeded | failed | =         | !                 | !         | !
succeeded         | !       | =         | =            | =         | failed | =         | !                 | !         | !
failed            | !       | =         | =            | !         | =      | =         | !                 | !         | !
unknown           | =       | =         | pending      | succeeded | failed | =         | !                 | !         | !
"""

SUBSCRIPTIONS = """
                   | trial_started | period_paid | checkout_abandoned | charge_declined | grace_over | gave_up  | ended    | canceled_now | paused | resumed
incomplete         | trialing      | active      | incomplete_expired | !               | !          | !        | !        | !            | !      | !
incomplete_expired | trialing      | active      | =                  | !               | !          | !        | !        | !            | !      | !
trialing           | !             | active      | !                  | past_due        | !          | !        | canceled | canceled     | !      | !
active             | !             | =           | !                  | past_due        | !          | !        | canceled | canceled     | paused | !
past_due           | !             | active      | !                  | =               | suspended  | canceled | canceled | canceled     | !      | !
suspended          | !             | active      | !                  | =               | =          | canceled | canceled | canceled     | !      | !
paused             | !             | !           | !                  | !               | !          | !        | canceled | canceled     | !      | active
canceled           | !             | !           | !                  | =               | =          | =        | =        | =            | !      | !
"""

DECIDED: list[tuple[Machine, type[StrEnum], type[StrEnum], str]] = [
    (ORDER, OrderStatus, OrderEvent, ORDERS),
    (PAYMENT, PaymentStatus, PaymentEvent, PAYMENTS),
    (REFUND, RefundStatus, RefundEvent, REFUNDS),
    (SUBSCRIPTION, SubscriptionStatus, SubscriptionEvent, SUBSCRIPTIONS),
]
each_machine = pytest.mark.parametrize("machine", [pytest.param(row[0], id=row[0].name) for row in DECIDED])


def cells(grid: str) -> dict[tuple[str, str], str]:
    header, *rows = ([cell.strip() for cell in line.split("|")] for line in grid.strip("\n").splitlines())
    return {
        (status, event): cell for status, *row in rows for event, cell in zip(header[1:], row, strict=True)
    }


def statuses_of(machine: Machine) -> type[StrEnum]:
    (statuses,) = (row[1] for row in DECIDED if row[0] is machine)
    return statuses


def every_pair() -> Iterator[Any]:
    for machine, statuses, events, grid in DECIDED:
        for (status, event), cell in cells(grid).items():
            name = f"{machine.name}: {event} while {status}"
            yield pytest.param(machine, statuses(status), events(event), cell, id=name)


@pytest.mark.parametrize(("machine", "status", "event", "cell"), list(every_pair()))
def test_a_pair_does_what_was_decided(machine: Machine, status: StrEnum, event: StrEnum, cell: str) -> None:
    assert machine.allows(status, event) is (cell != "!")
    assert machine.is_old_news(status, event) is (cell == "=")
    if cell == "!":
        with pytest.raises(NoSuchEdge, match=f"{machine.name}: {event} while {status}"):
            machine.after(status, event)
    else:
        assert machine.after(status, event) is (status if cell == "=" else type(status)(cell))


@pytest.mark.parametrize(("machine", "statuses", "events", "grid"), DECIDED)
def test_no_pair_is_left_out(
    machine: Machine, statuses: type[StrEnum], events: type[StrEnum], grid: str
) -> None:
    assert cells(grid).keys() == {(status, event) for status in statuses for event in events}


@each_machine
def test_every_status_can_be_reached(machine: Machine) -> None:
    reached, waiting = {machine.initial}, [machine.initial]
    while waiting:
        status = waiting.pop()
        following = {target for (source, _), target in machine.edges.items() if source is status} - reached
        reached |= following
        waiting += following
    assert reached == set(statuses_of(machine))


@pytest.mark.parametrize(
    ("machine", "final"),
    [
        (ORDER, set()),  # a refund can come back, and money can come late
        (PAYMENT, {PaymentStatus.SUCCEEDED}),
        (REFUND, {RefundStatus.FAILED, RefundStatus.REJECTED}),
        (SUBSCRIPTION, {SubscriptionStatus.CANCELED}),
    ],
)
def test_only_these_statuses_are_final(machine: Machine, final: set[StrEnum]) -> None:
    assert {status for status in statuses_of(machine) if machine.is_final(status)} == final


@pytest.mark.parametrize("status", PaymentStatus)
def test_captured_money_outranks_everything_known_before(status: PaymentStatus) -> None:
    assert PAYMENT.after(status, PaymentEvent.SUCCEEDED) is PaymentStatus.SUCCEEDED


@pytest.mark.parametrize("event", sorted(set(PaymentEvent) - {PaymentEvent.CLAIMED}))
def test_captured_money_outranks_everything_heard_later(event: PaymentEvent) -> None:
    assert PAYMENT.is_old_news(PaymentStatus.SUCCEEDED, event)


@pytest.mark.parametrize("status", [OrderStatus.CANCELED, OrderStatus.EXPIRED])
def test_late_money_pays_an_order_that_our_clock_had_closed(status: OrderStatus) -> None:
    assert ORDER.after(status, OrderEvent.PAYMENT_SUCCEEDED) is OrderStatus.PAID


def test_late_money_starts_a_subscription_whose_checkout_had_expired() -> None:
    late = SubscriptionStatus.INCOMPLETE_EXPIRED
    assert SUBSCRIPTION.after(late, SubscriptionEvent.PERIOD_PAID) is SubscriptionStatus.ACTIVE
    assert SUBSCRIPTION.after(late, SubscriptionEvent.TRIAL_STARTED) is SubscriptionStatus.TRIALING


def test_late_money_does_not_wake_a_canceled_subscription() -> None:
    assert not SUBSCRIPTION.allows(SubscriptionStatus.CANCELED, SubscriptionEvent.PERIOD_PAID)


@pytest.mark.parametrize("event", [PaymentEvent.CLAIMED, PaymentEvent.NOT_SENT, PaymentEvent.TIMED_OUT])
def test_only_the_provider_makes_an_unknown_payment_known(event: PaymentEvent) -> None:
    assert PAYMENT.is_old_news(PaymentStatus.UNKNOWN, event)


def test_no_event_makes_a_payment_that_was_sent_look_unsent_but_the_certainty_that_it_was_not() -> None:
    to_created = {pair for pair, target in PAYMENT.edges.items() if target is PaymentStatus.CREATED}
    assert to_created == {(PaymentStatus.SENDING, PaymentEvent.NOT_SENT)}


def test_a_payment_is_claimed_only_while_it_can_still_be_sent_or_asked_about() -> None:
    claimable = {status for status in PaymentStatus if PAYMENT.allows(status, PaymentEvent.CLAIMED)}
    assert claimable == {PaymentStatus.CREATED, PaymentStatus.SENDING, PaymentStatus.UNKNOWN}
    assert claimable < LIVE


def test_a_payment_is_live_until_something_definitive_is_known() -> None:
    definitive = {
        PaymentStatus.SUCCEEDED,
        PaymentStatus.DECLINED,
        PaymentStatus.CANCELED,
        PaymentStatus.EXPIRED,
    }
    assert set(PaymentStatus) - definitive == LIVE
