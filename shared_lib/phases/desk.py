"""The desk of a phase: the rows it holds locked, what it makes of them, and one write at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.ledger import LedgerEntry
from shared_lib.domain.order import Order, place_of
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription
from shared_lib.domain.values import replace
from shared_lib.store import ledger, outbox
from shared_lib.store.bulk import Table, array_literal
from shared_lib.store.outbox import JOBS, Event
from shared_lib.store.rows.orders import ORDERS, lock_orders, order_row, vacate
from shared_lib.store.rows.payments import PAYMENTS, lock_payments_of, payment_row
from shared_lib.store.rows.refunds import REFUNDS, lock_refunds_of, refund_row
from shared_lib.store.rows.subscriptions import (
    ENTITLEMENTS,
    SUBSCRIPTIONS,
    entitlement_of,
    entitlement_row,
    lock_subscriptions,
    subscription_row,
)
from shared_lib.store.transaction import Row, Transaction


class Desk:
    """Values are frozen: to change one, put its replacement back. `write` sends what differs from what was locked."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.subscriptions: dict[str, Subscription] = {}
        self.orders: dict[str, Order] = {}
        self.payments: dict[str, Payment] = {}
        self.refunds: dict[str, Refund] = {}
        self.entitlements: dict[str, Entitlement] = {}  # by order id
        self._locked: dict[str, object] = {}
        self._entries: list[LedgerEntry] = []
        self._events: list[Event] = []
        self._versions: dict[str, int] = {}  # of those that facts are told of
        self._attempts: dict[str, dict[str, None]] = {}  # payment ids by order
        self._vacated: set[str] = set()  # orders that are not on the desk

    @property
    def now(self) -> datetime:
        """The database's clock, once something was asked."""
        return self.tx.now

    async def lock(self, order_ids: Sequence[str], *, refunds: bool = False) -> None:
        """Lock orders and all that hangs on them, from the root: subscription, order, payment and, on demand, refund.

        The order a subscription collects now comes with it: whatever ends the subscription ends that order too.
        """
        if not order_ids:
            return
        roots = await self.tx.fetch(
            "SELECT id, subscription_id FROM orders WHERE id = ANY(%s::text[])",
            [array_literal(list(set(order_ids)))],
        )
        await self._lock_from(roots, refunds=refunds)

    async def lock_payments(self, payment_ids: Sequence[str]) -> None:
        """The same for the orders of these payments. What a payment collects never changes, so it is read unlocked."""
        roots = await self.tx.fetch(
            "SELECT o.id, o.subscription_id FROM payments p JOIN orders o ON o.id = p.order_id"
            " WHERE p.id = ANY(%s::text[])",
            [array_literal(list(set(payment_ids)))],
        )
        if roots:
            await self._lock_from(roots)

    async def _lock_from(self, roots: Sequence[Row], *, refunds: bool = False) -> None:
        locking = await lock_subscriptions(self.tx, sorted({row[1] for row in roots if row[1]}))
        subscriptions = await locking.values()
        order_ids = [row[0] for row in roots]
        order_ids = sorted(
            {*order_ids, *(s.open_order_id for s in subscriptions.values() if s.open_order_id)}
        )
        self.subscriptions |= subscriptions
        # Asked in one go, in the order of the levels.
        orders = await lock_orders(self.tx, order_ids)
        payments = await lock_payments_of(self.tx, order_ids)
        returned = await lock_refunds_of(self.tx, order_ids if refunds else ())
        self.orders |= await orders.values()
        self.payments |= await payments.values()
        self.refunds |= await returned.values()
        self.remember()

    async def read_entitlements(self) -> None:
        """Entitlements are locked by their order, so reading them is enough."""
        rows = await self.tx.fetch(
            f"SELECT {ENTITLEMENTS.select} FROM entitlements WHERE order_id = ANY(%s)", [list(self.orders)]
        )
        self.entitlements |= {row[3]: entitlement_of(row) for row in rows}
        self.remember()

    def remember(self) -> None:
        """Take what is on the desk now as what stands in the database."""
        for rows in (self.subscriptions, self.orders, self.payments, self.refunds, self.entitlements):
            self._locked |= {value.id: value for value in rows.values()}
        for payment in self.payments.values():
            self._attempts.setdefault(payment.order_id, {})[payment.id] = None

    def put(self, *values: Subscription | Order | Payment | Refund | Entitlement) -> None:
        """Lay changed or new values on the desk."""
        for value in values:
            match value:
                case Payment():
                    if value.id not in self.payments:
                        self._attempts.setdefault(value.order_id, {})[value.id] = None
                    self.payments[value.id] = value
                case Order():
                    self.orders[value.id] = value
                case Subscription():
                    self.subscriptions[value.id] = value
                case Refund():
                    self.refunds[value.id] = value
                case Entitlement():
                    self.entitlements[value.order_id] = value

    def payments_of(self, order_id: str) -> list[Payment]:
        return [self.payments[payment_id] for payment_id in self._attempts.get(order_id, ())]

    def vacate(self, order_id: str) -> None:
        """The order leaves its place to another one, because what it was for is over."""
        if order := self.orders.get(order_id):
            self.put(replace(order, holds=False))
        else:
            self._vacated.add(order_id)

    def enter(self, entry: LedgerEntry) -> None:
        """Record money. Nothing moves for nothing: a trial has no entry."""
        if entry.amount:
            self._entries.append(entry)

    def tell_of_order(
        self, kind: str, order_id: str, data: Mapping[str, Any], trace: str | None = None
    ) -> None:
        """A fact whose subject is an order."""
        self._tell(kind, self.orders[order_id], data, trace)

    def tell_of_subscription(self, kind: str, subscription_id: str, data: Mapping[str, Any]) -> None:
        """A fact whose subject is a subscription."""
        self._tell(kind, self.subscriptions[subscription_id], data, None)

    def _tell(
        self, kind: str, subject: Order | Subscription, data: Mapping[str, Any], trace: str | None
    ) -> None:
        """The subject's version numbers its facts; it is written once, however many facts there are."""
        sequence = self._versions.get(subject.id, subject.version) + 1
        self._versions[subject.id] = sequence
        self._events.append(
            Event(
                type=kind,
                subject=subject.id,
                sequence=sequence,
                partition_key=subject.customer_id,
                data=data,
                traceparent=trace,
            )
        )

    def ask_for(self, job: Event) -> None:
        """A job for another door."""
        assert job.topic == JOBS
        self._events.append(job)

    def write(self) -> None:
        """Put off every difference: roots first, changed rows before new ones."""
        self._number()
        self._write(SUBSCRIPTIONS, self.subscriptions, subscription_row)
        vacate(self.tx, sorted(self._vacated))
        # An order that leaves its place is written before the one that takes it, in the order of places: two batches
        # that want the same ones wait for each other instead of deadlocking.
        self._write(ORDERS, {k: v for k, v in self.orders.items() if not v.holds}, order_row)
        holders = sorted((v for v in self.orders.values() if v.holds), key=place_of)
        self._write(ORDERS, {v.id: v for v in holders}, order_row)
        # A payment that becomes surplus leaves the place that another one of its order may take.
        self._write(PAYMENTS, {k: v for k, v in self.payments.items() if v.surplus}, payment_row)
        self._write(PAYMENTS, {k: v for k, v in self.payments.items() if not v.surplus}, payment_row)
        self._write(REFUNDS, self.refunds, refund_row)
        self._write(ENTITLEMENTS, {e.id: e for e in self.entitlements.values()}, entitlement_row)
        ledger.post(self.tx, self._entries)
        outbox.publish(self.tx, self._events)

    def _number(self) -> None:
        for subject_id, version in self._versions.items():
            if order := self.orders.get(subject_id):
                self.orders[subject_id] = replace(order, version=version)
            else:
                subscription = self.subscriptions[subject_id]
                self.subscriptions[subject_id] = replace(subscription, version=version)

    def _write(self, table: Table, values: Mapping[str, Any], row: Callable[[Any], Row]) -> None:
        new: list[Row] = []
        changed: list[tuple[Row, Row]] = []
        for key, value in values.items():
            before = self._locked.get(key)
            if before is None:
                new.append(row(value))
            elif before is not value:
                changed.append((row(before), row(value)))
        # What leaves a unique place must be written before what takes it.
        table.update(self.tx, changed)
        table.insert(self.tx, new)
