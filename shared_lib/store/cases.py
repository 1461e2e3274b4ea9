"""Cases from the store: loaded under lock, and written together when the phase has decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import structlog

from shared_lib.billing.case import (
    Case,
    LogLine,
    MethodDisabled,
    MethodKept,
    PlaceVacated,
    Record,
    TrialReleased,
)
from shared_lib.billing.events import FACTS, Event
from shared_lib.domain.ledger import LedgerEntry
from shared_lib.domain.order import Order, place_of
from shared_lib.domain.subscription import Subscription
from shared_lib.domain.values import replace
from shared_lib.store import methods, outbox, rows, trials
from shared_lib.store.bulk import array_literal
from shared_lib.store.codec import Codec
from shared_lib.store.transaction import Transaction

log = structlog.get_logger(__name__)

Subject = TypeVar("Subject", Order, Subscription)

_ROOTS_OF_ORDERS: Final = "SELECT id, subscription_id FROM orders WHERE id = ANY(%s::text[])"
# What a payment collects, and a refund returns, never changes: it is read without a lock.
_ROOTS_OF_PAYMENTS: Final = (
    "SELECT o.id, o.subscription_id FROM payments p JOIN orders o ON o.id = p.order_id"
    " WHERE p.id = ANY(%s::text[])"
)
_ROOTS_OF_REFUNDS: Final = (
    "SELECT o.id, o.subscription_id FROM refunds r JOIN orders o ON o.id = r.order_id"
    " WHERE r.id = ANY(%s::text[])"
)


class Cases:
    """The cases that a batch has locked, and what became of them.

    The order that a subscription collects now comes with it: what ends the subscription ends that order too.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._cases: dict[str, Case] = {}  # by root id
        self._roots: dict[str, str] = {}  # root ids by the ids of orders, payments and refunds
        self._loaded: Mapping[str, Case] = {}
        self._stored: dict[str, Any] = {}  # values by id, as they are in the database
        # Of all journals, in the order of the decisions.
        self._events: list[Event] = []
        self._entries: list[LedgerEntry] = []
        self._notes: list[MethodKept | MethodDisabled | TrialReleased | LogLine] = []
        self._vacated: set[str] = set()  # orders of no case here

    @property
    def now(self) -> datetime:
        """The database's clock."""
        return self._tx.now

    # ---- load ------------------------------------------------------------------------------------------------

    @classmethod
    async def of_orders(cls, tx: Transaction, order_ids: Iterable[str]) -> Cases:
        """Lock the cases of these orders. An unknown id has none."""
        return await cls._locked(tx, _ROOTS_OF_ORDERS, order_ids)

    @classmethod
    async def of_payments(cls, tx: Transaction, payment_ids: Iterable[str]) -> Cases:
        """Lock the cases of these payments. An unknown id has none."""
        return await cls._locked(tx, _ROOTS_OF_PAYMENTS, payment_ids)

    @classmethod
    async def of_refunds(cls, tx: Transaction, refund_ids: Iterable[str]) -> Cases:
        """Lock the cases of these refunds. An unknown id has none."""
        return await cls._locked(tx, _ROOTS_OF_REFUNDS, refund_ids)

    @classmethod
    async def of_subscriptions(cls, tx: Transaction, subscription_ids: Iterable[str]) -> Cases:
        """Lock the cases of these subscriptions, each with its open order. An unknown id has none."""
        asked = await rows.SUBSCRIPTIONS.ask(tx, rows.LOCK, sorted(set(subscription_ids)))
        return await cls._with_orders(tx, await asked.values(), ())

    @classmethod
    async def of_due_subscriptions(cls, tx: Transaction, subscription_ids: Iterable[str]) -> Cases:
        """The same for those whose time has come. What another batch has locked is left out, not waited for."""
        asked = await rows.SUBSCRIPTIONS.ask(
            tx, rows.LOCK_DUE, sorted(set(subscription_ids)), await tx.clock()
        )
        return await cls._with_orders(tx, await asked.values(), ())

    @classmethod
    async def _locked(cls, tx: Transaction, question: str, ids: Iterable[str]) -> Cases:
        wanted = sorted(set(ids))
        roots = await tx.fetch(question, [array_literal(wanted)]) if wanted else []
        asked = await rows.SUBSCRIPTIONS.ask(tx, rows.LOCK, sorted({root for _, root in roots if root}))
        return await cls._with_orders(tx, await asked.values(), [order_id for order_id, _ in roots])

    @classmethod
    async def _with_orders(
        cls, tx: Transaction, subscriptions: Sequence[Subscription], order_ids: Sequence[str]
    ) -> Cases:
        """Lock what hangs on the subscriptions, and these orders. What can have neither refunds nor access, because no
        money came for it, is not asked for any.
        """
        open_orders = (one.open_order_id for one in subscriptions if one.open_order_id)
        wanted = sorted({*order_ids, *open_orders})
        orders = await rows.ORDERS.ask(tx, rows.LOCK, wanted)
        payments = await rows.PAYMENTS.ask(tx, rows.LOCK_OF_ORDERS, wanted)
        await tx.clock()
        cases = cls(tx)
        parts = {subscription.id: cases._parts(subscription) for subscription in subscriptions}
        roots, stored = cases._roots, cases._stored
        stored |= {subscription.id: subscription for subscription in subscriptions}
        for order in await orders.values():
            stored[order.id], root = order, order.subscription_id or order.id
            if root not in parts:
                parts[root] = cases._parts(None)
            roots[order.id], parts[root]["orders"][order.id] = root, order
        for payment in await payments.values():
            stored[payment.id], root = payment, roots[payment.order_id]
            roots[payment.id], parts[root]["payments"][payment.id] = root, payment
        paid = sorted(
            {one.id for part in parts.values() for one in part["orders"].values() if one.paid_at}
            | {
                one.order_id
                for part in parts.values()
                for one in part["payments"].values()
                if one.captured_minor
            }
        )
        refunds = await rows.REFUNDS.ask(tx, rows.LOCK_OF_ORDERS, paid)
        entitlements = await rows.ENTITLEMENTS.ask(tx, rows.OF_ORDERS, paid)
        for refund in await refunds.values():
            stored[refund.id], root = refund, roots[refund.order_id]
            roots[refund.id], parts[root]["refunds"][refund.id] = root, refund
        for entitlement in await entitlements.values():
            stored[entitlement.id] = entitlement
            parts[roots[entitlement.order_id]]["entitlements"][entitlement.order_id] = entitlement
        cases._loaded = {root: Case(**fields) for root, fields in parts.items()}
        cases._cases = dict(cases._loaded)
        return cases

    def _parts(self, subscription: Subscription | None) -> dict[str, Any]:
        return {
            "now": self.now,
            "subscription": subscription,
            "orders": {},
            "payments": {},
            "refunds": {},
            "entitlements": {},
            "journal": (),
        }

    # ---- decide ----------------------------------------------------------------------------------------------

    def of_order(self, order_id: str) -> Case | None:
        """The case as it is now; None when it was not locked, or there is no such order."""
        return self._cases.get(self._roots.get(order_id, ""))

    def of_payment(self, payment_id: str) -> Case | None:
        return self._cases.get(self._roots.get(payment_id, ""))

    def of_refund(self, refund_id: str) -> Case | None:
        return self._cases.get(self._roots.get(refund_id, ""))

    def of_subscription(self, subscription_id: str) -> Case | None:
        return self._cases.get(subscription_id)

    def new(self) -> Case:
        """An empty case, for a new order. `keep` it once it holds one."""
        return Case(self.now)

    def keep(self, case: Case) -> None:
        """What a decision made of the case. It must have begun from the case as it was here.

        An order of another case that leaves its place has left it in that case from now on.
        """
        root = case.root_id
        before = self._cases.get(root) or self.new()
        if case is before:
            return
        self._cases[root] = case
        # Values are replaced or added, never taken out.
        if len(case.orders) != len(before.orders):
            self._roots.update(dict.fromkeys(case.orders, root))
        if len(case.payments) != len(before.payments):
            self._roots.update(dict.fromkeys(case.payments, root))
        if len(case.refunds) != len(before.refunds):
            self._roots.update(dict.fromkeys(case.refunds, root))
        for record in case.journal[len(before.journal) :]:
            self._file(record)

    def _file(self, record: Record) -> None:
        match record:
            case Event():
                self._events.append(record)
            case LedgerEntry():
                self._entries.append(record)
            case PlaceVacated(order_id=order_id):
                self._vacate(order_id)
            case MethodKept() | MethodDisabled() | TrialReleased() | LogLine():
                self._notes.append(record)

    def _vacate(self, order_id: str) -> None:
        if case := self.of_order(order_id):
            self._cases[case.root_id] = case.put(replace(case.orders[order_id], holds=False))
        else:
            self._vacated.add(order_id)

    # ---- write -----------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Queue every difference, all cases together: roots first. Call it once, last of all."""
        self._write_notes()
        events, versions = self._numbered()
        cases = [case for root, case in self._cases.items() if case is not self._loaded.get(root)]
        subscriptions = [case.subscription for case in cases if case.subscription]
        self._write(rows.SUBSCRIPTIONS, [_counted(one, versions) for one in subscriptions])
        if self._vacated:
            rows.vacate(self._tx, sorted(self._vacated))
        # An order that leaves its place is written before the one that takes it, in the order of places: two batches
        # that want the same ones wait for each other instead of deadlocking.
        orders = [_counted(order, versions) for case in cases for order in case.orders.values()]
        self._write(rows.ORDERS, [order for order in orders if not order.holds])
        self._write(rows.ORDERS, sorted((order for order in orders if order.holds), key=place_of))
        # A payment that becomes surplus leaves the place that another one of its order may take.
        payments = [payment for case in cases for payment in case.payments.values()]
        self._write(rows.PAYMENTS, [payment for payment in payments if payment.surplus])
        self._write(rows.PAYMENTS, [payment for payment in payments if not payment.surplus])
        self._write(rows.REFUNDS, [refund for case in cases for refund in case.refunds.values()])
        self._write(rows.ENTITLEMENTS, [one for case in cases for one in case.entitlements.values()])
        rows.LEDGER.insert(self._tx, self._entries)
        outbox.publish(self._tx, events)

    def _write(self, codec: Codec[Any], values: Sequence[Any]) -> None:
        """Updates before inserts: free a unique slot before it is reused."""
        stored = self._stored
        new: list[Any] = []
        changed: list[tuple[Any, Any]] = []
        for value in values:
            before = stored.get(value.id)
            if before is None:
                new.append(value)
            elif before is not value:
                changed.append((before, value))
        codec.update(self._tx, changed)
        codec.insert(self._tx, new)

    def _write_notes(self) -> None:
        """What the journals want besides rows of cases. A kept method has its row before anything refers to it."""
        kept: set[str] = set()
        for note in self._notes:
            match note:
                case MethodKept(id=method_id, customer_id=customer_id, method=method):
                    if method_id not in kept:
                        kept.add(method_id)
                        methods.keep_method(self._tx, method_id, customer_id, method)
                case MethodDisabled(id=method_id):
                    methods.disable_method(self._tx, method_id)
                case TrialReleased(order_id=order_id):
                    trials.release_trial(self._tx, order_id)
                case LogLine(level=level, event=event, fields=fields):
                    getattr(log, level)(event, **fields)

    def _numbered(self) -> tuple[Sequence[Event], Mapping[str, int]]:
        """The events, and the new version of each subject: it numbers the subject's facts, and is written once."""
        numbered: list[Event] = []
        versions: dict[str, int] = {}
        for event in self._events:
            type_, subject, partition_key, data, sequence, topic, traceparent, available_at = event
            if topic == FACTS:
                stored = self._stored.get(subject)  # None: it is new
                before = versions.get(subject, stored.version if stored else 0)
                sequence = versions[subject] = before + 1
            numbered.append(
                Event(type_, subject, partition_key, data, sequence, topic, traceparent, available_at)
            )
        return numbered, versions


def _counted(subject: Subject, versions: Mapping[str, int]) -> Subject:
    """With its new version, if facts were written about it."""
    version = versions.get(subject.id)
    return subject if version is None else replace(subject, version=version)
