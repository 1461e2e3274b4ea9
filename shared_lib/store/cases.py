"""Cases from the store: loaded under lock, and written together when the phase has decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from shared_lib.billing.case import (
    Case,
    LogLine,
    MethodDisabled,
    MethodKept,
    PlaceVacated,
    Record,
    TrialReleased,
)
from shared_lib.billing.events import JOBS, Event
from shared_lib.domain.entitlement import Entitlement
from shared_lib.domain.ledger import LedgerEntry
from shared_lib.domain.order import Order
from shared_lib.domain.payment import Payment
from shared_lib.domain.refund import Refund
from shared_lib.domain.subscription import Subscription
from shared_lib.domain.values import replace, restored
from shared_lib.store.bulk import array_literal
from shared_lib.store.case_writer import Journal, write_cases
from shared_lib.store.rows import (
    ask_entitlements_of,
    lock_due_subscriptions,
    lock_orders,
    lock_payments_of,
    lock_refunds_of,
    lock_subscriptions,
)
from shared_lib.store.transaction import Transaction

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

    Locked from the root: subscriptions, orders, payments, refunds, each level in id order. The order that a subscription
    collects now comes with it: what ends the subscription ends that order too.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._cases: dict[str, Case] = {}  # by root id
        self._roots: dict[str, str] = {}  # root ids by the ids of orders, payments and refunds
        self._loaded: dict[str, Case] = {}
        self._stored: dict[str, object] = {}  # values by id, as they are in the database
        self._journal = Journal()

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
        locking = await lock_subscriptions(tx, sorted(set(subscription_ids)))
        return await cls._with_orders(tx, await locking.values(), ())

    @classmethod
    async def of_due_subscriptions(cls, tx: Transaction, subscription_ids: Iterable[str]) -> Cases:
        """The same for those whose time has come. What another batch has locked is left out, not waited for."""
        locking = await lock_due_subscriptions(tx, sorted(set(subscription_ids)))
        return await cls._with_orders(tx, await locking.values(), ())

    @classmethod
    async def _locked(cls, tx: Transaction, question: str, ids: Iterable[str]) -> Cases:
        asked = sorted(set(ids))
        roots = await tx.fetch(question, [array_literal(asked)]) if asked else []
        locking = await lock_subscriptions(tx, sorted({root for _, root in roots if root}))
        return await cls._with_orders(tx, await locking.values(), [order_id for order_id, _ in roots])

    @classmethod
    async def _with_orders(
        cls, tx: Transaction, subscriptions: Mapping[str, Subscription], order_ids: Sequence[str]
    ) -> Cases:
        """Lock what hangs on the subscriptions, and these orders. All levels are asked for in one go."""
        open_orders = (one.open_order_id for one in subscriptions.values() if one.open_order_id)
        wanted = sorted({*order_ids, *open_orders})
        orders = await lock_orders(tx, wanted)
        payments = await lock_payments_of(tx, wanted)
        refunds = await lock_refunds_of(tx, wanted)
        entitlements = await ask_entitlements_of(tx, wanted)
        cases = cls(tx)
        await tx.clock()
        cases._load(
            subscriptions,
            await orders.values(),
            await payments.values(),
            await refunds.values(),
            await entitlements.values(),
        )
        return cases

    def _load(
        self,
        subscriptions: Mapping[str, Subscription],
        orders: Mapping[str, Order],
        payments: Mapping[str, Payment],
        refunds: Mapping[str, Refund],
        entitlements: Mapping[str, Entitlement],
    ) -> None:
        parts = {subscription.id: self._parts(subscription) for subscription in subscriptions.values()}
        roots = self._roots
        for order in orders.values():
            root = roots[order.id] = order.subscription_id or order.id
            if root not in parts:
                parts[root] = self._parts(None)
            parts[root]["orders"][order.id] = order
        for payment in payments.values():
            root = roots[payment.id] = roots[payment.order_id]
            parts[root]["payments"][payment.id] = payment
        for refund in refunds.values():
            root = roots[refund.id] = roots[refund.order_id]
            parts[root]["refunds"][refund.id] = refund
        for entitlement in entitlements.values():
            parts[roots[entitlement.order_id]]["entitlements"][entitlement.order_id] = entitlement
        self._cases = {root: restored(Case, fields) for root, fields in parts.items()}
        self._loaded = dict(self._cases)
        self._stored = {**subscriptions, **orders, **payments, **refunds, **entitlements}

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

    def record(self, *jobs: Event) -> None:
        """Jobs about several cases at once: they have no case of their own."""
        assert all(job.topic == JOBS for job in jobs)
        self._journal.events += jobs

    def _file(self, record: Record) -> None:
        match record:
            case Event():
                self._journal.events.append(record)
            case LedgerEntry():
                self._journal.entries.append(record)
            case PlaceVacated(order_id=order_id):
                self._vacate(order_id)
            case MethodKept() | MethodDisabled() | TrialReleased() | LogLine():
                self._journal.notes.append(record)

    def _vacate(self, order_id: str) -> None:
        if case := self.of_order(order_id):
            self._cases[case.root_id] = case.put(replace(case.orders[order_id], holds=False))
        else:
            self._journal.vacated.add(order_id)

    # ---- write -----------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Queue every difference, all cases together. Call it once, last of all."""
        changed = [case for root, case in self._cases.items() if case is not self._loaded.get(root)]
        write_cases(self._tx, changed, self._stored, self._journal)
