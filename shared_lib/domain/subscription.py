"""Subscription: renews by opening one order per period, until auto_renew is off."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from shared_lib.domain.money import Money
from shared_lib.domain.period import SHORTEST, Cadence, Interval, Period
from shared_lib.domain.state_machine import StateMachine
from shared_lib.domain.values import Value, replace


class SubscriptionStatus(StrEnum):
    INCOMPLETE = "incomplete"  # the first order is not paid yet
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"  # a renewal was declined; access continues for the grace
    SUSPENDED = "suspended"  # grace is over, retries may still save it
    PAUSED = "paused"
    CANCELED = "canceled"


class SubscriptionEvent(StrEnum):
    TRIAL_STARTED = "trial_started"
    PERIOD_PAID = "period_paid"
    CHECKOUT_ABANDONED = "checkout_abandoned"
    CHARGE_DECLINED = "charge_declined"
    GRACE_OVER = "grace_over"
    GAVE_UP = "gave_up"
    ENDED = "ended"  # opted out, and the paid time is over
    CANCELED_NOW = "canceled_now"
    PAUSED = "paused"
    RESUMED = "resumed"


_S, _E = SubscriptionStatus, SubscriptionEvent

SUBSCRIPTION: StateMachine[SubscriptionStatus, SubscriptionEvent] = StateMachine(
    "subscription",
    SubscriptionStatus.INCOMPLETE,
    {
        (_S.INCOMPLETE, _E.TRIAL_STARTED): _S.TRIALING,
        (_S.INCOMPLETE, _E.PERIOD_PAID): _S.ACTIVE,
        (_S.INCOMPLETE, _E.CHECKOUT_ABANDONED): _S.INCOMPLETE_EXPIRED,
        # Late money outranks our clock.
        (_S.INCOMPLETE_EXPIRED, _E.TRIAL_STARTED): _S.TRIALING,
        (_S.INCOMPLETE_EXPIRED, _E.PERIOD_PAID): _S.ACTIVE,
        (_S.INCOMPLETE_EXPIRED, _E.CHECKOUT_ABANDONED): _S.INCOMPLETE_EXPIRED,
        (_S.TRIALING, _E.PERIOD_PAID): _S.ACTIVE,
        (_S.TRIALING, _E.CHARGE_DECLINED): _S.PAST_DUE,
        (_S.TRIALING, _E.ENDED): _S.CANCELED,
        (_S.TRIALING, _E.CANCELED_NOW): _S.CANCELED,
        (_S.ACTIVE, _E.PERIOD_PAID): _S.ACTIVE,
        (_S.ACTIVE, _E.CHARGE_DECLINED): _S.PAST_DUE,
        (_S.ACTIVE, _E.ENDED): _S.CANCELED,
        (_S.ACTIVE, _E.CANCELED_NOW): _S.CANCELED,
        (_S.ACTIVE, _E.PAUSED): _S.PAUSED,
        (_S.PAST_DUE, _E.PERIOD_PAID): _S.ACTIVE,
        (_S.PAST_DUE, _E.CHARGE_DECLINED): _S.PAST_DUE,
        (_S.PAST_DUE, _E.GRACE_OVER): _S.SUSPENDED,
        (_S.PAST_DUE, _E.GAVE_UP): _S.CANCELED,
        (_S.PAST_DUE, _E.ENDED): _S.CANCELED,
        (_S.PAST_DUE, _E.CANCELED_NOW): _S.CANCELED,
        (_S.SUSPENDED, _E.PERIOD_PAID): _S.ACTIVE,
        (_S.SUSPENDED, _E.CHARGE_DECLINED): _S.SUSPENDED,
        (_S.SUSPENDED, _E.GRACE_OVER): _S.SUSPENDED,
        (_S.SUSPENDED, _E.GAVE_UP): _S.CANCELED,
        (_S.SUSPENDED, _E.ENDED): _S.CANCELED,
        (_S.SUSPENDED, _E.CANCELED_NOW): _S.CANCELED,
        (_S.PAUSED, _E.RESUMED): _S.ACTIVE,
        (_S.PAUSED, _E.ENDED): _S.CANCELED,
        (_S.PAUSED, _E.CANCELED_NOW): _S.CANCELED,
        (_S.CANCELED, _E.CHARGE_DECLINED): _S.CANCELED,
        (_S.CANCELED, _E.GRACE_OVER): _S.CANCELED,
        (_S.CANCELED, _E.GAVE_UP): _S.CANCELED,
        (_S.CANCELED, _E.ENDED): _S.CANCELED,
        (_S.CANCELED, _E.CANCELED_NOW): _S.CANCELED,
        # CANCELED + PERIOD_PAID has no edge: settle sees that it cannot be delivered and sends the money back.
    },
)

RENEWABLE = frozenset({_S.TRIALING, _S.ACTIVE, _S.PAST_DUE, _S.SUSPENDED})
"""Statuses in which a renewal may be claimed or a declined one retried."""

OWING = frozenset({_S.PAST_DUE, _S.SUSPENDED})
"""A renewal was declined: the period is not paid."""

LIVE = RENEWABLE | {_S.PAUSED}
"""A customer has at most one of these per product: a partial unique index."""


class Subscription(Value, kw_only=True):
    """`period_n` is the last period that was billed, 0 during a trial; its bounds are the paid access."""

    id: str
    customer_id: str
    product_id: str
    product_title: str
    price_id: str
    status: SubscriptionStatus
    amount: Money
    interval: Interval
    time_zone: str
    provider: str
    auto_renew: bool
    trial_days: int
    created_at: datetime
    anchor_at: datetime | None = None  # set by the first payment, moved by trial end and resume
    anchor_n: int = 0  # the number of the last period that ended at the anchor
    period_n: int = 0
    period_start: datetime | None = None
    period_end: datetime | None = None
    payment_method_id: str | None = None
    open_order_id: str | None = None  # the cycle order being collected now
    past_due_at: datetime | None = None
    next_retry_at: datetime | None = None
    next_action_at: datetime | None = None  # when the renewal tick must look at it
    version: int = 0
    auto_renew_changes: int = 0  # how often its customer changed auto_renew since it began
    auto_renew_told: bool = True  # what the last mail about auto_renew said
    auto_renew_changed_at: datetime | None = None  # when its customer opted out or back in, the last time

    def stands(self, change: int, now: datetime) -> bool:
        """Whether change number `change` of auto_renew is the newest, and the subscription goes on with it.

        False too for a subscription whose customer opted out and whose paid time is over: the mail about its end follows.
        """
        ending = (
            self.status not in OWING
            and not self.auto_renew
            and self.period_end is not None
            and self.period_end <= now
        )
        return self.status in LIVE and self.auto_renew_changes == change and not ending

    def period(self, n: int) -> Period:
        """Bounds of period n, counted from the anchor."""
        return self._cadence.period(n - self.anchor_n)

    def number_at(self, at: datetime) -> int:
        """The number of the period that contains `at`."""
        return self.anchor_n + self._cadence.number_at(at)

    @property
    def _cadence(self) -> Cadence:
        if self.anchor_at is None:
            raise ValueError("a subscription counts periods from its first payment on")
        return Cadence(self.anchor_at, self.time_zone, self.interval)


class Start(Value, kw_only=True):
    """What the first payment makes of a subscription."""

    status_event: SubscriptionEvent
    anchor_at: datetime
    period_n: int
    period: Period


def start(subscription: Subscription, paid_at: datetime) -> Start:
    """A trial is period 0 and its end is the anchor; otherwise period 1 begins with the payment."""
    if subscription.trial_days:
        trial_end = paid_at + timedelta(days=subscription.trial_days)
        return Start(
            status_event=SubscriptionEvent.TRIAL_STARTED,
            anchor_at=trial_end,
            period_n=0,
            period=Period(paid_at, trial_end),
        )
    cadence = Cadence(paid_at, subscription.time_zone, subscription.interval)
    return Start(
        status_event=SubscriptionEvent.PERIOD_PAID, anchor_at=paid_at, period_n=1, period=cadence.period(1)
    )


class NextBilling(Value, kw_only=True):
    """The period to bill, and the anchor it was counted from."""

    period_n: int
    period: Period
    anchor_at: datetime
    anchor_n: int


def next_billing(subscription: Subscription, now: datetime) -> NextBilling:
    """Which period a due subscription is billed for. Always after the last billed one, never the same twice.

    Our outage is not the customer's debt: of periods that passed without a renewal only the latest is billed, and nothing shifts.
    After a refund that shortened the paid period the next one follows on it, and the anchor moves there.
    """
    n, upcoming = subscription.period_n + 1, subscription.period(subscription.period_n + 1)
    if subscription.period_end is not None and upcoming.start - subscription.period_end > SHORTEST:
        # A refund shortened the paid period: the next one begins where access ends, and is counted from there.
        subscription = replace(
            subscription, anchor_at=subscription.period_end, anchor_n=subscription.period_n
        )
        upcoming = subscription.period(n)
    if now >= upcoming.end:
        n = subscription.number_at(now)
    if subscription.anchor_at is None:
        raise ValueError("a subscription that never started has nothing to renew")
    return NextBilling(
        period_n=n,
        period=upcoming if n == subscription.period_n + 1 else subscription.period(n),
        anchor_at=subscription.anchor_at,
        anchor_n=subscription.anchor_n,
    )
