"""Phases called directly, one transaction each, on a real database with the seeded catalog."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import psycopg

from shared_lib.billing.due import RenewalRequest
from shared_lib.billing.leasing import LeasedPayment, LeaseRequest
from shared_lib.billing.order_requests import Buyer, OrderRequest
from shared_lib.billing.orders import OpenedOrder
from shared_lib.billing.replies import Key, SavedReply
from shared_lib.billing.reports import PaymentReport
from shared_lib.domain.catalog import ProviderTerms
from shared_lib.domain.money import Money
from shared_lib.domain.payment import Decline, Payment
from shared_lib.phases.leases import lease_payments
from shared_lib.phases.orders import open_orders
from shared_lib.phases.payments import AnsweredPayment, settle_payments
from shared_lib.phases.renewals import OpenedRenewal, open_renewals
from shared_lib.providers.base import PaymentRef, PaymentSnapshot, PaymentState, SavedMethodRef
from shared_lib.queries.due import due_subscriptions
from shared_lib.store.transaction import Transaction, transaction
from tests.kit.clock import ADVANCE

Item = TypeVar("Item")
Answer = TypeVar("Answer")

TERMS = ProviderTerms(name="sandbox", currencies=frozenset({"EUR"}), minimum_minor={"EUR": 50})
FILM, STALKER, BASIC, PLUS = "prc_metropolis_buy", "prc_stalker_buy", "prc_basic_month", "prc_plus_month"


class PhaseRunner:
    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def commit(
        self, phase: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Answer]]], *items: Item
    ) -> list[Answer]:
        """One transaction over all items, without the coalescer."""
        async with transaction(self._connection) as tx:
            return list(await phase(tx, items))

    async def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(cast("Any", sql), parameters)
        return await cursor.fetchall()

    async def value(self, sql: str, *parameters: Any) -> Any:
        return (await self.rows(sql, *parameters))[0][0]

    async def advance(self, by: timedelta) -> None:
        await self._connection.execute(ADVANCE, [by])

    async def now(self) -> datetime:
        return cast("datetime", await self.value("SELECT boxoffice_now()"))

    async def opened(self, *wanted: OrderRequest) -> list[OpenedOrder]:
        answers = await self.commit(open_orders, *wanted)
        assert all(isinstance(answer, OpenedOrder) for answer in answers), answers
        return cast("list[OpenedOrder]", answers)

    async def settled(self, *observed: PaymentReport) -> list[AnsweredPayment | None]:
        return await self.commit(settle_payments, *observed)

    async def bought(self, *wanted: OrderRequest) -> list[OpenedOrder]:
        opened = await self.opened(*wanted)
        await self.settled(*(succeeded(one.payment) for one in opened))
        return opened

    async def renewals(self) -> list[LeasedPayment]:
        """Open what is due, as the tick does; the payments to charge, under our lease."""
        async with transaction(self._connection) as tx:
            due = await due_subscriptions(tx, 1000)
        opened = await self.commit(open_renewals, *(RenewalRequest(subscription_id=one.id) for one in due))
        return [one.to_charge for one in opened if isinstance(one, OpenedRenewal) and one.to_charge]

    async def leased(self, payment_ids: Sequence[str]) -> list[LeasedPayment]:
        answers = await self.commit(
            lease_payments, *(LeaseRequest(id=payment_id) for payment_id in payment_ids)
        )
        return [one for one in answers if isinstance(one, LeasedPayment)]

    async def events(self) -> list[tuple[str, str, int | None]]:
        """(subject, type, sequence) as the relay will read them."""
        rows = await self.rows("SELECT subject, type, sequence FROM outbox ORDER BY id")
        return [(row[0], row[1], row[2]) for row in rows]


def reply(order: Any, payment: Any) -> SavedReply:
    return SavedReply(201, f"{order.id} {payment.status}".encode())


def want(price_id: str = FILM, customer: str = "ann", key: str = "", **more: Any) -> OrderRequest:
    """A request; its key is unique unless one is given."""
    want.count = getattr(want, "count", 0) + 1  # type: ignore[attr-defined]
    name = key or f"key-{want.count}"  # type: ignore[attr-defined]
    fingerprint = more.pop("fingerprint", price_id.encode())
    return OrderRequest(
        key=Key(customer, "POST /v1/orders", name, fingerprint),
        buyer=Buyer(customer_id=customer, email=f"{customer}@example.com", locale="en", time_zone="UTC"),
        price_id=price_id,
        return_url="http://cinema.test/thanks",
        terms=[TERMS],
        render=reply,
        **more,
    )


def said(payment: Payment, state: PaymentState, **more: Any) -> PaymentSnapshot:
    """What the sandbox would say of a payment."""
    none = Money(0, payment.amount.currency)
    taken = payment.amount if state is PaymentState.SUCCEEDED else none
    defaults: dict[str, Any] = {
        "ref": PaymentRef(provider="sandbox", provider_payment_id=f"sp_{payment.id}"),
        "state": state,
        "amount": payment.amount,
        "captured": taken,
        "refunded": none,
        "payment_id": payment.id,
        "order_id": payment.order_id,
        "checkout_url": None,
        "expires_at": None,
        "saved_method": None,
        "decline": None,
        "created_at": payment.created_at,
        "livemode": False,
    }
    return PaymentSnapshot(**(defaults | more))


def succeeded(payment: Payment, *, card: str | None = None) -> PaymentReport:
    """The money came; with `card`, so did a method to charge again."""
    method = (
        SavedMethodRef(
            provider="sandbox",
            method_id=card,
            customer_id="sc_1",
            brand="visa",
            last4="4242",
            expires="2034-12",
        )
        if card
        else None
    )
    return PaymentReport(
        payment_id=payment.id, outcome=said(payment, PaymentState.SUCCEEDED, saved_method=method)
    )


def canceled(payment: Payment) -> PaymentReport:
    """Its checkout was closed. What is paid for it all the same is late money."""
    return PaymentReport(payment_id=payment.id, outcome=said(payment, PaymentState.CANCELED))


def declined(payment: Payment, decline: Decline) -> PaymentReport:
    return PaymentReport(payment_id=payment.id, outcome=said(payment, PaymentState.DECLINED, decline=decline))
