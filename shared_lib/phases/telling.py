"""What a mail may say: our own rows, found by the ids in an event. The event's own text is never repeated to a customer.

A query, not a phase. The event still says what happened (words, instants, yes or no): the state of a subscription at that
moment stands in no row afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.money import Money
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import RefundStatus
from shared_lib.phases import facts
from shared_lib.phases.notifications import AutoRenewChange
from shared_lib.store.rows.orders import ORDERS, order_of
from shared_lib.store.rows.payments import PAYMENTS, payment_of
from shared_lib.store.rows.refunds import REFUNDS, refund_of
from shared_lib.store.rows.subscriptions import SUBSCRIPTIONS, subscription_of
from shared_lib.store.transaction import Transaction

_WORD: Final = re.compile(r"[a-z_]{1,40}")
# Events report these fields of a subscription as they were when the event was written.
_AS_IT_WAS: Final = ("status", "auto_renew", "period_n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event about a customer, as it was received."""

    type: str
    customer_id: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """`data` for the template. `over`: it is not asked for any more, or not true any more. `change`: what it is about."""

    data: Mapping[str, Any]
    over: bool = False
    change: AutoRenewChange | None = None


async def mail_facts(tx: Transaction, told: Told) -> MailFacts | None:
    """What the mail about this event may say. None: it is about nothing that this customer has."""
    if told.type == "billing.order.paid":
        return await _of_order(tx, told)
    if told.type.startswith("billing.payment."):
        return await _of_payment(tx, told)
    if told.type == "billing.refund.succeeded":
        return await _of_refund(tx, told)
    if told.type.startswith("billing.subscription."):
        return await _of_subscription(tx, told)
    if told.type == "billing.job.tell_auto_renew":
        return await _of_auto_renew(tx, told)
    return None


async def _of_order(tx: Transaction, told: Told) -> MailFacts | None:
    rows = await tx.fetch(
        f"SELECT {ORDERS.select} FROM orders WHERE id = %s AND customer_id = %s AND paid_at IS NOT NULL",
        [_id(told, "order_id"), told.customer_id],
    )
    if not rows:
        return None
    order = order_of(rows[0])
    trial = order.kind is PriceKind.SUBSCRIPTION and not order.amount
    paid = facts.of_order(
        order, payment_id=order.paid_payment_id, paid_at=facts.instant(order.paid_at), trial=trial
    )
    return MailFacts(data=_words(told) | paid)


async def _of_payment(tx: Transaction, told: Told) -> MailFacts | None:
    rows = await tx.fetch(
        f"""
        SELECT {ORDERS.select}, {PAYMENTS.select} FROM payments JOIN orders ON orders.id = payments.order_id
        WHERE payments.id = %s AND orders.customer_id = %s
        """,
        [_id(told, "payment_id"), told.customer_id],
    )
    if not rows:
        return None
    width = len(ORDERS.columns)
    order, payment = order_of(rows[0][:width]), payment_of(rows[0][width:])
    known = facts.of_payment(payment, order, checkout_url=payment.checkout_url)
    if told.type == "billing.payment.surplus":
        if not payment.captured_minor:
            return None
        known["amount"] = facts.money(_surplus(payment, told))
    return MailFacts(
        data=_words(told) | known, over=not payment.is_live and told.type.endswith("action_required")
    )


def _surplus(payment: Payment, told: Told) -> Money:
    """How much goes back: a part of what was captured, or all of it."""
    amount = told.data.get("amount")
    minor = amount.get("minor") if isinstance(amount, Mapping) else None
    known = isinstance(minor, int) and 0 < minor <= payment.captured_minor
    return Money(
        minor if known and isinstance(minor, int) else payment.captured_minor, payment.amount.currency
    )


async def _of_refund(tx: Transaction, told: Told) -> MailFacts | None:
    rows = await tx.fetch(
        f"""
        SELECT {ORDERS.select}, {REFUNDS.select} FROM refunds JOIN orders ON orders.id = refunds.order_id
        WHERE refunds.id = %s AND orders.customer_id = %s
        """,
        [_id(told, "refund_id"), told.customer_id],
    )
    if not rows:
        return None
    width = len(ORDERS.columns)
    order, refund = order_of(rows[0][:width]), refund_of(rows[0][width:])
    if refund.status is not RefundStatus.SUCCEEDED:
        return None
    return MailFacts(data=_words(told) | facts.of_refund(refund, order))


async def _of_subscription(tx: Transaction, told: Told) -> MailFacts | None:
    rows = await tx.fetch(
        f"""
        SELECT {SUBSCRIPTIONS.select},
            (SELECT checkout_url FROM payments p
             WHERE p.order_id = subscriptions.open_order_id AND NOT p.surplus AND p.status IN ('pending', 'action_required'))
        FROM subscriptions WHERE id = %s AND customer_id = %s
        """,
        [_id(told, "subscription_id"), told.customer_id],
    )
    if not rows:
        return None
    words = _words(told)
    known = facts.of_subscription(subscription_of(rows[0][:-1]))
    if told.data.get("checkout_url"):
        known["checkout_url"] = rows[0][-1]
    return MailFacts(data=words | known | {name: words[name] for name in _AS_IT_WAS if name in words})


async def _of_auto_renew(tx: Transaction, told: Told) -> MailFacts | None:
    """The subscription as it is now: a newer change than the job's has a job of its own."""
    rows = await tx.fetch(
        f"SELECT {SUBSCRIPTIONS.select} FROM subscriptions WHERE id = %s AND customer_id = %s",
        [_id(told, "subscription_id"), told.customer_id],
    )
    number = told.data.get("change")
    if not rows or not isinstance(number, int):
        return None
    subscription = subscription_of(rows[0])
    return MailFacts(
        data=facts.of_subscription(subscription),
        over=not subscription.stands(number, await tx.clock()),
        change=AutoRenewChange(subscription_id=subscription.id, number=number),
    )


def _id(told: Told, name: str) -> str:
    value = told.data.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""


def _words(told: Told) -> dict[str, Any]:
    """What an event may say on its own: no text, no link, no amount."""
    return {name: value for name, value in told.data.items() if _harmless(value)}


def _harmless(value: object) -> bool:
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None or _is_instant(value)
    return value is None or isinstance(value, bool | int)


def _is_instant(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
