"""Every CloudEvent that Boxoffice writes or takes: its type, its topic, the data it carries and what it means.

The data of billing's own events is declared where they are written (billing/events.py). Which door takes an event: routes.py.
docs/events.md and docs/events.schema.json are generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypedDict

from shared_lib.billing.events import (
    DATA,
    FACTS,
    JOBS,
    ChargeRenewalsData,
    FactType,
    FindRefundsData,
    JobType,
    StartPaymentData,
    StartRefundData,
    TellAutoRenewData,
)

# ---- topics ----------------------------------------------------------------------------------------------------

PLAYBACK: Final = "cinema.playback"
DEAD_LETTERS: Final = "billing.dead-letters"

OURS: Final = "billing."
"""Every type of Boxoffice begins with this."""
OUR_JOBS: Final = "billing.job."
OUR_TICKS: Final = "billing.tick."


def topic_of(kind: str) -> str:
    """The topic on which events of this type travel. Ticks are sent to their doors and are on none."""
    if not kind.startswith(OURS):
        return PLAYBACK
    return JOBS if kind.startswith(OUR_JOBS) else FACTS


# ---- types -----------------------------------------------------------------------------------------------------


class Tick(StrEnum):
    """Sent on a schedule by the clock, a PingSource or a CronJob. A lost tick costs nothing: the next one does its work."""

    RENEWAL = "billing.tick.renewal"
    RECONCILE = "billing.tick.reconcile"


PING: Final = "dev.knative.sources.ping"
"""The type of every event of a Knative PingSource; it cannot be chosen. A door that takes ticks takes it as its tick."""

PLAYBACK_STARTED: Final = "cinema.playback.started"


class Planned(StrEnum):
    """Types whose mails and reasons are ready, and which nothing writes yet."""

    DISPUTE_OPENED = "billing.dispute.opened"
    DISPUTE_WON = "billing.dispute.won"
    DISPUTE_LOST = "billing.dispute.lost"
    SUBSCRIPTION_PAUSED = "billing.subscription.paused"
    SUBSCRIPTION_RESUMED = "billing.subscription.resumed"
    SUBSCRIPTION_PLAN_CHANGED = "billing.subscription.plan_changed"


# ---- data ------------------------------------------------------------------------------------------------------


class NoData(TypedDict):
    """An empty JSON object."""


class SendNotificationData(TypedDict):
    event_id: str
    event_type: str
    data: Mapping[str, Any]


class PlaybackStartedData(TypedDict):
    customer_id: str
    product_id: str
    started_at: str


# ---- meaning ---------------------------------------------------------------------------------------------------

WHEN: Final[Mapping[FactType, str]] = {
    FactType.ORDER_CREATED: "An order was created. No provider has been asked for money yet.",
    FactType.ORDER_PAID: "The money of the order is recorded and access is granted.",
    FactType.ORDER_CANCELED: "The customer, a decline or a rule ended the order before it was paid.",
    FactType.ORDER_EXPIRED: "The order was not paid in time.",
    FactType.ORDER_REFUNDED: "Part or all of the price of the order was refunded.",
    FactType.PAYMENT_SUCCEEDED: "A provider took the money of an order.",
    FactType.PAYMENT_DECLINED: "A provider declined a payment.",
    FactType.PAYMENT_UNKNOWN: "A provider did not answer. It is asked again until the outcome is known.",
    FactType.PAYMENT_SURPLUS: "Money arrived that no order needs. It is refunded without a request.",
    FactType.PAYMENT_ACTION_REQUIRED: "A renewal needs its customer, who can complete it at `checkout_url`.",
    FactType.SUBSCRIPTION_ACTIVATED: "The first period is paid, or the trial began.",
    FactType.SUBSCRIPTION_RENEWED: "One more period is paid.",
    FactType.SUBSCRIPTION_PAST_DUE: "A renewal was declined. Access lasts until `access_until`.",
    FactType.SUBSCRIPTION_SUSPENDED: "The grace period is over and access ends.",
    FactType.SUBSCRIPTION_CANCELED: "The subscription ended, for this `reason`.",
    FactType.AUTO_RENEW_CHANGED: "The customer turned renewals off or on.",
    FactType.REFUND_REQUESTED: "The amount of a refund is reserved.",
    FactType.REFUND_APPROVED: "A second operator approved a refund. It is sent to the provider.",
    FactType.REFUND_REJECTED: "A second operator rejected a refund. Nothing was sent.",
    FactType.REFUND_SUCCEEDED: "The provider returned the money.",
    FactType.REFUND_FAILED: "The provider could not return the money. An operator must act.",
    FactType.ENTITLEMENT_GRANTED: "Access began.",
    FactType.ENTITLEMENT_CHANGED: "Access ends at another time.",
    FactType.ENTITLEMENT_REVOKED: "Access was taken away.",
}
"""Facts: when each one is written."""


class Work(NamedTuple):
    """What the door that takes the event does."""

    does: str
    data: type


WORK: Final[Mapping[str, Work]] = {
    JobType.START_PAYMENT: Work("Ask the provider about one payment.", StartPaymentData),
    JobType.CHARGE_RENEWALS: Work(
        "More renewals are due than the instance that wrote it takes at once: work on them too. `payment_ids` is empty, but in a"
        " job of an earlier version.",
        ChargeRenewalsData,
    ),
    JobType.START_REFUND: Work("Ask the provider about one refund.", StartRefundData),
    JobType.FIND_REFUNDS: Work(
        "Adopt the refunds of a provider that has returned more than is recorded.", FindRefundsData
    ),
    JobType.SEND_NOTIFICATION: Work("Retry a mail that was not sent.", SendNotificationData),
    JobType.TELL_AUTO_RENEW: Work(
        "Mail the latest change of `auto_renew`, if it has stood for a minute and differs from the last one mailed. "
        "`change` counts from 1.",
        TellAutoRenewData,
    ),
    Tick.RENEWAL: Work(f"Renew each subscription that is due. The same for `{PING}`.", NoData),
    Tick.RECONCILE: Work(
        f"Finish what was begun and is not decided. The same for `{PING}`. With the id of a payment or refund as its subject:"
        " ask the provider about that one now.",
        NoData,
    ),
    PLAYBACK_STARTED: Work(
        "Written by the cinema. The first play starts the 48 hours of a rental; `started_at` is moved into "
        "[access start, now].",
        PlaybackStartedData,
    ),
}
"""Jobs, ticks and the cinema's events: what is to be done."""

EVERY_DATA: Final[Mapping[str, type]] = {str(kind): data for kind, data in DATA.items()} | {
    str(kind): work.data for kind, work in WORK.items()
}
"""The data of each event, as a typed dictionary."""
