"""What a mail may say: our own rows, found by the ids in an event. No text of the event itself is sent to a customer.

The event still says what happened (words, instants, yes or no): no row keeps the state that a subscription had at that
moment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from shared_lib.billing import facts
from shared_lib.billing.events import FactType, JobType
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import access_end
from shared_lib.domain.messages import AutoRenewChange
from shared_lib.domain.money import Money
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import RefundStatus
from shared_lib.domain.subscription import OWING, Subscription, SubscriptionStatus
from shared_lib.domain.values import Value
from shared_lib.store.rows import ORDERS, PAYMENTS, REFUNDS, SUBSCRIPTIONS
from shared_lib.store.transaction import Transaction

_WORD: Final = re.compile(r"[a-z_]{1,40}")
# Events report these fields of a subscription as they were when the event was written.
_AS_IT_WAS: Final = ("status", "auto_renew", "period_n")


class MailEvent(Value, kw_only=True):
    """An event about a customer, as it was received."""

    type: str
    customer_id: str
    data: Mapping[str, Any]


class MailFacts(Value, kw_only=True):
    """`data` for the template. `over`: it is not asked for any more, or not true any more. `change`: what the mail is about."""

    data: Mapping[str, Any]
    over: bool = False
    change: AutoRenewChange | None = None


async def mail_facts(tx: Transaction, event: MailEvent) -> MailFacts | None:
    """What the mail about this event may say. None: it is about nothing that this customer has."""
    if event.type == FactType.ORDER_PAID:
        return await _of_order(tx, event)
    if event.type.startswith("billing.payment."):
        return await _of_payment(tx, event)
    if event.type == FactType.REFUND_SUCCEEDED:
        return await _of_refund(tx, event)
    if event.type.startswith("billing.subscription."):
        return await _of_subscription(tx, event)
    if event.type == JobType.TELL_AUTO_RENEW:
        return await _of_auto_renew(tx, event)
    return None


async def _of_order(tx: Transaction, event: MailEvent) -> MailFacts | None:
    rows = await tx.fetch(
        f"""
        SELECT {ORDERS.select}, s.auto_renew, s.amount_minor, s.currency
        FROM orders LEFT JOIN subscriptions s ON s.id = orders.subscription_id
        WHERE orders.id = %s AND orders.customer_id = %s AND orders.paid_at IS NOT NULL
        """,
        [_id(event, "order_id"), event.customer_id],
    )
    if not rows:
        return None
    *row, auto_renew, minor, currency = rows[0]
    order = ORDERS.of(tuple(row))
    known = {**_words(event), **facts.of_paid_order(order)}
    if order.subscription_id:
        known |= {"renews": auto_renew, "renewal_amount": facts.money(Money(minor, currency))}
    elif order.kind is PriceKind.RENTAL and order.paid_at:
        known["access_until"] = facts.instant(access_end(order.kind, order.paid_at, None))
    return MailFacts(data=known)


async def _of_payment(tx: Transaction, event: MailEvent) -> MailFacts | None:
    rows = await tx.fetch(
        f"""
        SELECT {ORDERS.select}, {PAYMENTS.select} FROM payments JOIN orders ON orders.id = payments.order_id
        WHERE payments.id = %s AND orders.customer_id = %s
        """,
        [_id(event, "payment_id"), event.customer_id],
    )
    if not rows:
        return None
    order, payment = ORDERS.of(rows[0][: ORDERS.width]), PAYMENTS.of(rows[0][ORDERS.width :])
    known = {**_words(event), **facts.of_payment(payment, order), "checkout_url": payment.checkout_url}
    if event.type == FactType.PAYMENT_SURPLUS:
        if not payment.captured_minor:
            return None
        known["amount"] = facts.money(_surplus(payment, event))
    over = not payment.is_live and event.type == FactType.PAYMENT_ACTION_REQUIRED
    return MailFacts(data=known, over=over)


def _surplus(payment: Payment, event: MailEvent) -> Money:
    """How much goes back: a part of what was captured, or all of it."""
    amount = event.data.get("amount")
    minor = amount.get("minor") if isinstance(amount, Mapping) else None
    known = isinstance(minor, int) and 0 < minor <= payment.captured_minor
    return Money(
        minor if known and isinstance(minor, int) else payment.captured_minor, payment.amount.currency
    )


async def _of_refund(tx: Transaction, event: MailEvent) -> MailFacts | None:
    rows = await tx.fetch(
        f"""
        SELECT {ORDERS.select}, {REFUNDS.select}, s.auto_renew, e.ends_at
        FROM refunds JOIN orders ON orders.id = refunds.order_id
        LEFT JOIN subscriptions s ON s.id = orders.subscription_id
        LEFT JOIN entitlements e ON e.order_id = orders.id AND e.status = 'active'
        WHERE refunds.id = %s AND orders.customer_id = %s
        """,
        [_id(event, "refund_id"), event.customer_id],
    )
    if not rows:
        return None
    *row, auto_renew, ends_at = rows[0]
    order, refund = ORDERS.of(tuple(row[: ORDERS.width])), REFUNDS.of(tuple(row[ORDERS.width :]))
    if refund.status is not RefundStatus.SUCCEEDED:
        return None
    known = {**_words(event), **facts.of_refund(refund, order)}
    lasts = facts.instant(ends_at) if ends_at and ends_at > await tx.clock() else None
    return MailFacts(data=known | {"access_until": lasts, "renews": bool(auto_renew)})


async def _of_subscription(tx: Transaction, event: MailEvent) -> MailFacts | None:
    rows = await tx.fetch(
        f"""
        SELECT {SUBSCRIPTIONS.select},
            (SELECT checkout_url FROM payments p
             WHERE p.order_id = subscriptions.open_order_id AND NOT p.surplus AND p.status IN ('pending', 'action_required'))
        FROM subscriptions WHERE id = %s AND customer_id = %s
        """,
        [_id(event, "subscription_id"), event.customer_id],
    )
    if not rows:
        return None
    *row, checkout_url = rows[0]
    words, subscription = _words(event), SUBSCRIPTIONS.of(tuple(row))
    known = {**words, **facts.of_subscription(subscription)}
    if event.data.get("checkout_url"):
        known["checkout_url"] = checkout_url
    return MailFacts(
        data=known | {name: words[name] for name in _AS_IT_WAS if name in words},
        over=await _is_over(tx, event, subscription),
    )


async def _is_over(tx: Transaction, event: MailEvent, subscription: Subscription) -> bool:
    """What the mail would announce has happened, or cannot happen any more: another mail says so."""
    if event.type == FactType.SUBSCRIPTION_SUSPENDED:
        return subscription.status is not SubscriptionStatus.SUSPENDED
    if event.type != FactType.SUBSCRIPTION_PAST_DUE:
        return False
    retry_at = event.data.get("next_retry_at")
    tried = (
        isinstance(retry_at, str)
        and _is_instant(retry_at)
        and datetime.fromisoformat(retry_at) <= await tx.clock()
    )
    return tried or subscription.status not in OWING


async def _of_auto_renew(tx: Transaction, event: MailEvent) -> MailFacts | None:
    """The subscription as it is now: a newer change than the job's has a job of its own."""
    rows = await tx.fetch(
        f"SELECT {SUBSCRIPTIONS.select} FROM subscriptions WHERE id = %s AND customer_id = %s",
        [_id(event, "subscription_id"), event.customer_id],
    )
    number = event.data.get("change")
    if not rows or not isinstance(number, int):
        return None
    subscription = SUBSCRIPTIONS.of(rows[0])
    return MailFacts(
        data={**facts.of_subscription(subscription)},
        over=not subscription.stands(number, await tx.clock()),
        change=AutoRenewChange(subscription_id=subscription.id, number=number),
    )


def _id(event: MailEvent, name: str) -> str:
    value = event.data.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""


def _words(event: MailEvent) -> dict[str, Any]:
    """What of an event may be in a mail: no text, no link, no amount."""
    return {name: value for name, value in event.data.items() if _harmless(value)}


def _harmless(value: object) -> bool:
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None or _is_instant(value)
    return value is None or isinstance(value, bool | int)


def _is_instant(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
