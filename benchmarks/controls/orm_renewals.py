"""Control (a) of renewals: a SQLAlchemy ORM loop, one subscription after the other, two commits each.

    python -m benchmarks.controls.orm_renewals

The same rows as ours: order, payment, ledger entry, entitlement, five events, the subscription twice. One commit fewer:
it does not lease the payment between claim and settle.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.figures import cpu_s, peak_mib
from benchmarks.instant import InstantProvider
from shared_lib.billing.events import FACTS
from shared_lib.domain.money import Money
from shared_lib.domain.period import Cadence, Interval, Period, Unit
from shared_lib.ids import new_id
from shared_lib.providers.base import ChargeRequest, PaymentSnapshot, SavedMethodRef
from shared_lib.store.outbox import shard_of
from shared_lib.store.tables import (
    EntitlementRow,
    LedgerEntryRow,
    OrderRow,
    OutboxRow,
    PaymentMethodRow,
    PaymentRow,
    SubscriptionRow,
)

CHUNK = 500

engine = create_engine(os.environ["BOXOFFICE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
sessions = sessionmaker(engine)
provider = InstantProvider()


def renew_all_due() -> dict[str, Any]:
    began, used_s, total = time.perf_counter(), cpu_s(os.getpid()), 0
    with asyncio.Runner() as runner:
        while ids := due():
            for subscription_id in ids:
                renew(runner, subscription_id)
            total += len(ids)
    return {
        "renewed": total,
        "seconds": time.perf_counter() - began,
        "cpu_s": cpu_s(os.getpid()) - used_s,
        "peak_mib": peak_mib(os.getpid()),
    }


def due() -> list[str]:
    with sessions() as db:
        query = (
            select(SubscriptionRow.id)  # type: ignore[call-overload]
            .where(SubscriptionRow.next_action_at <= func.boxoffice_now())
            .order_by(SubscriptionRow.next_action_at, SubscriptionRow.id)
            .limit(CHUNK)
        )
        return list(db.scalars(query))


def renew(runner: asyncio.Runner, subscription_id: str) -> None:
    with sessions() as db:
        claimed = claim(db, subscription_id)
        if claimed is None:
            return
        subscription, order, payment = claimed
        method = db.get_one(PaymentMethodRow, subscription.payment_method_id)
        request = ChargeRequest(
            payment_id=payment.id,
            order_id=order.id,
            amount=Money(payment.amount_minor, payment.currency),
            method=SavedMethodRef(provider=method.provider, method_id=method.provider_ref),
            description=order.product_title,
            idempotency_key=payment.id,
        )
        db.commit()
        said = runner.run(provider.charge(request))
        settle(db, subscription.id, order.id, payment.id, said)


def claim(db: Session, subscription_id: str) -> tuple[SubscriptionRow, OrderRow, PaymentRow] | None:
    subscription = db.get_one(SubscriptionRow, subscription_id, with_for_update=True)
    now: datetime = db.execute(select(func.boxoffice_now())).scalar_one()
    if (
        subscription.next_action_at is None
        or subscription.next_action_at > now
        or not subscription.auto_renew
    ):
        return None
    order = make_order(subscription, now)
    db.add(order)
    db.flush()
    payment = make_payment(subscription, order, now)
    subscription.open_order_id, subscription.next_action_at = order.id, None
    order.version += 1
    db.add_all([payment, event("order.created", order, now, of_order(order))])
    db.flush()
    return subscription, order, payment


def settle(db: Session, subscription_id: str, order_id: str, payment_id: str, said: PaymentSnapshot) -> None:
    subscription = db.get_one(SubscriptionRow, subscription_id, with_for_update=True)
    order = db.get_one(OrderRow, order_id, with_for_update=True)
    payment = db.get_one(PaymentRow, payment_id, with_for_update=True)
    now: datetime = db.execute(select(func.boxoffice_now())).scalar_one()
    payment.status, payment.provider_ref = "succeeded", said.ref.provider_payment_id
    payment.captured_minor, payment.next_check_at, payment.lease_until = said.captured.minor, None, None
    order.status, order.paid_payment_id, order.paid_at = "paid", payment.id, now
    subscription.status, subscription.period_n = "active", order.period_n or 0
    subscription.period_start, subscription.period_end = order.period_start, order.period_end
    subscription.open_order_id, subscription.next_action_at = None, order.period_end
    entitlement = make_entitlement(order)
    db.add_all([make_entry(order, payment, now), entitlement])
    for name, data in (
        ("order.paid", of_order(order) | {"payment_id": payment.id, "paid_at": iso(now), "trial": False}),
        ("payment.succeeded", of_payment(payment, order)),
        ("entitlement.granted", of_entitlement(entitlement)),
    ):
        order.version += 1
        db.add(event(name, order, now, data))
    subscription.version += 1
    db.add(event("subscription.renewed", subscription, now, of_subscription(subscription)))
    db.commit()


def make_order(subscription: SubscriptionRow, now: datetime) -> OrderRow:
    period = next_period(subscription)
    return OrderRow(
        id=new_id("ord"),
        customer_id=subscription.customer_id,
        price_id=subscription.price_id,
        product_id=subscription.product_id,
        product_title=subscription.product_title,
        kind="subscription",
        billing_reason="subscription_cycle",
        status="pending",
        amount_minor=subscription.amount_minor,
        currency=subscription.currency,
        provider=subscription.provider,
        return_url="",
        created_at=now,
        expires_at=now + timedelta(days=22),
        subscription_id=subscription.id,
        period_n=subscription.period_n + 1,
        period_start=period.start,
        period_end=period.end,
        version=0,
    )


def next_period(subscription: SubscriptionRow) -> Period:
    """The domain's arithmetic, as ours: that is not what differs."""
    assert subscription.anchor_at is not None
    interval = Interval(Unit(subscription.interval_unit), subscription.interval_count)
    cadence = Cadence(subscription.anchor_at, subscription.time_zone, interval)
    return cadence.period(subscription.period_n + 1 - subscription.anchor_n)


def make_payment(subscription: SubscriptionRow, order: OrderRow, now: datetime) -> PaymentRow:
    return PaymentRow(
        id=new_id("pay"),
        order_id=order.id,
        provider=order.provider,
        flow="charge",
        status="sending",
        surplus=False,
        attempt=1,
        amount_minor=order.amount_minor,
        currency=order.currency,
        payment_method_id=subscription.payment_method_id,
        captured_minor=0,
        refund_reserved_minor=0,
        refunded_minor=0,
        fence=1,
        lease_until=now + timedelta(seconds=60),
        first_sent_at=now,
        checks=0,
        next_check_at=now + timedelta(seconds=60),
        created_at=now,
    )


def make_entry(order: OrderRow, payment: PaymentRow, now: datetime) -> LedgerEntryRow:
    return LedgerEntryRow(
        source_kind="payment",
        source_id=payment.id,
        leg="captured",
        order_id=order.id,
        debit=f"provider:{payment.provider}",
        credit="revenue",
        amount_minor=payment.captured_minor,
        currency=payment.currency,
        entered_at=now,
    )


def make_entitlement(order: OrderRow) -> EntitlementRow:
    assert order.period_start is not None
    return EntitlementRow(
        id=new_id("ent"),
        customer_id=order.customer_id,
        product_id=order.product_id,
        order_id=order.id,
        subscription_id=order.subscription_id,
        kind=order.kind,
        status="active",
        starts_at=order.period_start,
        ends_at=order.period_end,
    )


def event(
    name: str, subject: OrderRow | SubscriptionRow, now: datetime, data: Mapping[str, Any]
) -> OutboxRow:
    return OutboxRow(
        event_id=new_id("evt"),
        topic=FACTS,
        type=f"billing.{name}",
        subject=subject.id,
        sequence=subject.version,
        partition_key=subject.customer_id,
        shard=shard_of(subject.customer_id),
        data=dict(data),
        created_at=now,
        available_at=now,
        attempts=0,
    )


def of_order(order: OrderRow) -> dict[str, Any]:
    names = ("customer_id", "status", "billing_reason", "product_id", "product_title", "price_id", "kind")
    data = {"order_id": order.id} | {name: getattr(order, name) for name in names}
    return data | {
        "amount": {"minor": order.amount_minor, "currency": order.currency},
        "subscription_id": order.subscription_id,
        "provider": order.provider,
        "period_start": iso(order.period_start),
        "period_end": iso(order.period_end),
    }


def of_payment(payment: PaymentRow, order: OrderRow) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "payment_id": payment.id,
        "customer_id": order.customer_id,
        "provider": payment.provider,
        "status": payment.status,
        "amount": {"minor": payment.amount_minor, "currency": payment.currency},
        "product_title": order.product_title,
        "subscription_id": order.subscription_id,
    }


def of_entitlement(entitlement: EntitlementRow) -> dict[str, Any]:
    names = ("order_id", "customer_id", "product_id", "kind", "status")
    data = {"entitlement_id": entitlement.id} | {name: getattr(entitlement, name) for name in names}
    return data | {"starts_at": iso(entitlement.starts_at), "ends_at": iso(entitlement.ends_at)}


def of_subscription(subscription: SubscriptionRow) -> dict[str, Any]:
    names = ("customer_id", "product_id", "product_title", "status", "auto_renew", "period_n")
    data = {"subscription_id": subscription.id} | {name: getattr(subscription, name) for name in names}
    return data | {
        "period_start": iso(subscription.period_start),
        "period_end": iso(subscription.period_end),
        "amount": {"minor": subscription.amount_minor, "currency": subscription.currency},
        "trial_end": None,
    }


def iso(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


if __name__ == "__main__":
    print("ready", flush=True)
    while sys.stdin.readline():
        print(json.dumps(renew_all_due()), flush=True)
