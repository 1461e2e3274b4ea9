"""One customer, one order or subscription and one bank, in memory: what we have written, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from random import Random

from shared_lib.billing.case import (
    Case,
    LogLine,
    MethodDisabled,
    MethodKept,
    Part,
    PlaceVacated,
    TrialReleased,
)
from shared_lib.billing.context import SettlementContext, TrialClaims
from shared_lib.billing.events import Event
from shared_lib.billing.surplus import surplus_held
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus
from shared_lib.domain.ledger import REVENUE, SURPLUS, LedgerEntry
from shared_lib.domain.order import Order, OrderStatus, Place, place_of
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.refund import Refund, RefundAccess, RefundStatus
from shared_lib.domain.subscription import LIVE, RENEWABLE, Subscription
from tests.billing.bank import CARD, PROVIDER, Bank

METHOD = "pm_card"
_GAVE_NOTHING_BACK = frozenset({RefundStatus.FAILED, RefundStatus.REJECTED})
_UNDECIDED = frozenset(
    {RefundStatus.REQUESTED, RefundStatus.SENDING, RefundStatus.PENDING, RefundStatus.UNKNOWN}
)
_BOUGHT = frozenset({OrderStatus.PAID, OrderStatus.PARTIALLY_REFUNDED})
_UNPAID = frozenset({OrderStatus.PENDING, OrderStatus.CANCELED, OrderStatus.EXPIRED})


class World:
    """Our rows by id, and the books. `load` and `keep` do what the store does, with a dictionary in place of tables."""

    def __init__(self, random: Random, now: datetime) -> None:
        self.random, self.now, self.bank = random, now, Bank(random)
        self.subscription: Subscription | None = None
        self.orders: dict[str, Order] = {}
        self.payments: dict[str, Payment] = {}
        self.refunds: dict[str, Refund] = {}
        self.entitlements: dict[str, Entitlement] = {}
        self.accounts: Counter[tuple[str, str]] = Counter()  # (account, currency): debit less credit
        self.legs: set[tuple[str, str, str]] = set()
        self.jobs: list[Event] = []
        self.alarms: Counter[str] = Counter()
        self.method_known = False
        self.rival: Place | None = None  # what another order of the customer has meanwhile
        self.trial_used = False  # by another account, with the same card

    # ---- the store -------------------------------------------------------------------------------------------

    def load(self, *orders: Order) -> Case:
        """As the store loads a case: these orders and the open one, with all that hangs on them."""
        subscription = self.subscription
        wanted = {order.id: self.orders[order.id] for order in orders}
        if subscription and subscription.open_order_id:
            wanted[subscription.open_order_id] = self.orders[subscription.open_order_id]
        return Case(
            self.now,
            subscription,
            wanted,
            {key: one for key, one in self.payments.items() if one.order_id in wanted},
            {key: one for key, one in self.refunds.items() if one.order_id in wanted},
            {key: one for key, one in self.entitlements.items() if key in wanted},
        )

    def keep(self, case: Case) -> None:
        self.subscription = case.subscription
        self.orders.update(case.orders)
        self.payments.update(case.payments)
        self.refunds.update(case.refunds)
        self.entitlements.update(case.entitlements)
        for record in case.journal:
            match record:
                case LedgerEntry():
                    self._enter(record)
                case Event(topic="billing.jobs"):
                    self.jobs.append(record)
                case LogLine(event=event):
                    self.alarms[event] += 1
                case MethodKept():
                    self.method_known = True
                case MethodDisabled():
                    self.method_known = False
                case Event() | PlaceVacated() | TrialReleased():
                    pass
        self.check()

    def _enter(self, entry: LedgerEntry) -> None:
        leg = entry.source_kind, entry.source_id, entry.leg
        assert leg not in self.legs, f"the ledger has {leg} already"
        self.legs.add(leg)
        assert entry.amount.minor > 0
        self.accounts[entry.debit, entry.amount.currency] += entry.amount.minor
        self.accounts[entry.credit, entry.amount.currency] -= entry.amount.minor

    def context(self, order: Order) -> SettlementContext:
        owned = {self.rival} if self.rival else set()
        place = place_of(order)
        entitlements = (one for one in self.entitlements.values() if one.subscription_id is None)
        owned |= {place_of(self.orders[one.order_id]) for one in entitlements if one.watchable_at(self.now)}
        if self.subscription and self.subscription.status in LIVE:
            owned.add(place)
        return SettlementContext(
            owned=frozenset(owned),
            recent_charges={METHOD: self.random.choice((0, 0, 0, 3, 15))},
            trials=self._trials(order),
            methods={(PROVIDER, CARD.method_id): METHOD},
            new_methods=frozenset() if self.method_known else frozenset({METHOD}),
        )

    def _trials(self, order: Order) -> TrialClaims:
        subscription = self.subscription
        if subscription is None or not subscription.trial_days or order.amount:
            return TrialClaims()
        owner = "ord_another" if self.trial_used else order.id
        return TrialClaims({order.id: ["card:card"]}, {(order.product_id, "card:card"): owner})

    # ---- what is true after every step -----------------------------------------------------------------------

    def check(self) -> None:
        for payment in self.payments.values():
            self._check_payment(payment)
        for refund in self.refunds.values():
            looked_at = refund.lease.next_check_at is not None
            assert looked_at is (refund.status in _UNDECIDED), f"{refund.status}: when is it looked at?"
        for order in self.orders.values():
            self._check_order(order)
        for entitlement in self.entitlements.values():
            self._check_access(entitlement)
        self._check_subscription()

    def _check_payment(self, payment: Payment) -> None:
        order = self.orders[payment.order_id]
        refunds = [one for one in self.refunds.values() if one.payment_id == payment.id]
        given = [one for one in refunds if one.status not in _GAVE_NOTHING_BACK]
        wished = sum(one.amount.minor for one in given if not one.surplus)
        back = sum(one.amount.minor for one in refunds if one.status is RefundStatus.SUCCEEDED)
        assert payment.refunded_minor == back, "refunded: what its refunds gave back"
        assert payment.refund_reserved_minor == wished + payment.surplus_minor, (
            "reserved: refunds and surplus"
        )
        assert 0 <= payment.refunded_minor <= payment.refund_reserved_minor <= payment.captured_minor
        assert payment.is_live is (payment.lease.next_check_at is not None), "a live payment is looked at"
        captured = payment.status is PaymentStatus.SUCCEEDED
        assert captured or not payment.captured_minor
        if captured and not payment.surplus:
            assert order.paid_payment_id == payment.id, "money is for the order that it paid, or goes back"
            assert order.id in self.entitlements, "no money without access"
        if not payment.surplus or not payment.captured_minor:
            assert payment.amount == order.amount, "an attempt asks for what the order costs"

    def _check_order(self, order: Order) -> None:
        attempts = [payment for payment in self.payments.values() if payment.order_id == order.id]
        live = [payment for payment in attempts if payment.is_live and not payment.surplus]
        assert len(live) <= 1, "an order has one live attempt"
        assert len({payment.attempt for payment in attempts}) == len(attempts)
        assert (order.paid_at is None) is (order.status in _UNPAID)
        assert order.paid_at is None or order.paid_payment_id in self.payments
        assert not (order.holds and self.rival == place_of(order)), "one order has a place"
        if order.paid_at and not order.amount:
            assert not self.trial_used, "one trial for each card"

    def _check_access(self, entitlement: Entitlement) -> None:
        order = self.orders[entitlement.order_id]
        if not entitlement.watchable_at(self.now):
            return
        assert order.paid_payment_id, "no access without money"
        payment = self.payments[order.paid_payment_id]
        assert payment.captured_minor >= order.amount.minor
        ended = [
            one
            for one in self.refunds.values()
            if one.order_id == order.id
            and one.status is RefundStatus.SUCCEEDED
            and one.access is RefundAccess.END_NOW
            and not one.surplus
        ]
        assert not ended, "access ended with the refund"
        assert entitlement.status is EntitlementStatus.ACTIVE

    def _check_subscription(self) -> None:
        subscription = self.subscription
        if subscription is None or subscription.status not in RENEWABLE:
            return
        open_order = self.orders.get(subscription.open_order_id or "")
        assert open_order is None or open_order.status is OrderStatus.PENDING
        attempts = [one for one in self.payments.values() if open_order and one.order_id == open_order.id]
        collected = any(payment.is_live for payment in attempts)
        assert subscription.next_action_at or collected, "the tick or a payment moves a subscription on"

    # ---- what is true at the end -----------------------------------------------------------------------------

    def check_end(self) -> None:
        """Everything has been reported: our books are the bank's, and nothing is left to do."""
        for currency, held in self.bank.holds().items():
            ours = self.accounts[f"provider:{PROVIDER}", currency]
            assert ours == held, f"the bank has {held} {currency} of us, our books say {ours}"
        owed = -sum(minor for (account, _), minor in self.accounts.items() if account == SURPLUS)
        held_back = sum(surplus_held(self.load(self.orders[p.order_id]), p) for p in self.payments.values())
        assert owed == held_back, "surplus goes back, or is held for an operator"
        assert not owed or self.alarms["surplus_held"], "an operator hears of what is held"
        sold = -sum(minor for (account, _), minor in self.accounts.items() if account == REVENUE)
        kept = [p for p in self.payments.values() if p.status is PaymentStatus.SUCCEEDED and not p.surplus]
        assert sold == sum(payment.captured_minor - payment.surplus_minor for payment in kept)
        for payment in self.payments.values():
            assert not payment.is_live, f"{payment.flow} is still {payment.status}"
        for refund in self.refunds.values():
            assert refund.status not in _UNDECIDED, f"a refund is still {refund.status}"
        for order in self.orders.values():
            assert order.status is not OrderStatus.PENDING, "an order waits for money without end"
        assert self.subscription is None or self.subscription.status not in LIVE

    # ---- searching -------------------------------------------------------------------------------------------

    def live(self) -> list[Payment]:
        return [payment for payment in self.payments.values() if payment.is_live]

    def undecided_refunds(self) -> list[Refund]:
        return [refund for refund in self.refunds.values() if refund.status in _UNDECIDED]

    def put(self, *values: Part) -> None:
        """A row changed by another hand."""
        for value in values:
            if isinstance(value, Subscription):
                self.subscription = value
            elif isinstance(value, Order):
                self.orders[value.id] = value

    def is_charge(self, payment: Payment) -> bool:
        return payment.flow is PaymentFlow.CHARGE
