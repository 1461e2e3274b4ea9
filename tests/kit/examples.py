"""Values for tests, and how to make more of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus
from shared_lib.domain.money import Money
from shared_lib.domain.order import BillingReason, Order, OrderStatus
from shared_lib.domain.period import Interval, Period, Unit
from shared_lib.domain.subscription import Subscription, SubscriptionStatus

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Lisbon",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Africa/Casablanca",  # turns its clock four times in some years
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # has no 30 December 2011
    "Pacific/Kiritimati",
)

zones = st.sampled_from(ZONES)
instants = st.datetimes(datetime(2005, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
intervals = st.builds(Interval, st.sampled_from(Unit), st.integers(1, 13))


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def an_order(kind: PriceKind, amount: Money, paid_at: datetime | None, period: Period | None = None) -> Order:
    return Order(
        id="ord_1",
        customer_id="cus_1",
        price_id="prc_1",
        product_id="prd_1",
        product_title="Stalker",
        kind=kind,
        billing_reason=BillingReason.SUBSCRIPTION_CYCLE if period else BillingReason.PURCHASE,
        status=OrderStatus.PAID if paid_at else OrderStatus.PENDING,
        amount=amount,
        provider="sandbox",
        return_url="https://cinema.test/back",
        created_at=utc(2025, 1, 1),
        expires_at=utc(2025, 1, 2),
        period_n=1 if period else None,
        period_start=period.start if period else None,
        period_end=period.end if period else None,
        paid_at=paid_at,
    )


def an_entitlement(
    starts_at: datetime,
    ends_at: datetime | None,
    status: EntitlementStatus = EntitlementStatus.ACTIVE,
    first_played_at: datetime | None = None,
) -> Entitlement:
    return Entitlement(
        id="ent_1",
        customer_id="cus_1",
        product_id="prd_1",
        order_id="ord_1",
        subscription_id=None,
        kind=PriceKind.RENTAL,
        status=status,
        starts_at=starts_at,
        ends_at=ends_at,
        first_played_at=first_played_at,
    )


def a_subscription(interval: Interval, time_zone: str = "UTC", trial_days: int = 0) -> Subscription:
    """An order that is not paid yet."""
    return Subscription(
        id="sub_1",
        customer_id="cus_1",
        product_id="prd_1",
        product_title="All films",
        price_id="prc_1",
        status=SubscriptionStatus.INCOMPLETE,
        amount=eur(999),
        interval=interval,
        time_zone=time_zone,
        provider="sandbox",
        auto_renew=True,
        trial_days=trial_days,
        created_at=utc(2025, 1, 1),
    )
