"""Random histories of one order or subscription: requests, reports in any order, silence, time; then everything ends.

    python -m tests.billing.histories --count 100000 --seed 1

A history is its seed: a failure prints it with its steps, and `--only SEED` plays it again.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from shared_lib.billing.adoption import settle_found
from shared_lib.billing.approvals import DecideRefund, decide_refund
from shared_lib.billing.auto_renew import set_auto_renew
from shared_lib.billing.cancellations import OpenedCancellation, open_cancellation
from shared_lib.billing.due import RenewalRequest, look_at_due
from shared_lib.billing.leasing import (
    LeaseContext,
    LeasedPayment,
    LeasedRefund,
    LeaseRequest,
    Purpose,
    lease_payment,
    lease_refund,
)
from shared_lib.billing.offers import Offers
from shared_lib.billing.order_requests import Buyer, OrderRequest
from shared_lib.billing.orders import OpenedOrder, open_order
from shared_lib.billing.payments import settle
from shared_lib.billing.refund_requests import OpenedRefund, OpenRefund, open_refund
from shared_lib.billing.refunds import settle_refund
from shared_lib.billing.replies import Key, SavedReply
from shared_lib.billing.reports import (
    LocalOutcome,
    PaymentReport,
    PaymentSnapshot,
    RefundReport,
    RefundSnapshot,
    RefundState,
)
from shared_lib.billing.returns import Returns
from shared_lib.domain.catalog import Price, PriceKind, ProviderTerms
from shared_lib.domain.money import Money
from shared_lib.domain.order import Order, place_of
from shared_lib.domain.payment import Payment, PaymentFlow, PaymentStatus
from shared_lib.domain.period import Interval, Unit
from shared_lib.domain.refund import RefundAccess, RefundStatus
from shared_lib.domain.subscription import RENEWABLE
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from tests.billing.bank import CARD, PROVIDER
from tests.billing.world import METHOD, World

BEGAN: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY_LIVES: Final = timedelta(hours=23)
STEPS_MAX: Final = 14
ROUNDS_MAX: Final = 400

PRICES: Final = tuple(
    Price(
        id=f"price_{kind}_{trial_days}",
        product_id="prod",
        product_title="Metropolis",
        kind=kind,
        amount=Money(1299, "EUR"),
        interval=Interval(Unit.MONTH, 1) if kind is PriceKind.SUBSCRIPTION else None,
        trial_days=trial_days,
        sellable_from=BEGAN,
        sellable_until=None,
    )
    for kind, trial_days in (
        (PriceKind.PURCHASE, 0),
        (PriceKind.RENTAL, 0),
        (PriceKind.SUBSCRIPTION, 0),
        (PriceKind.SUBSCRIPTION, 0),
        (PriceKind.SUBSCRIPTION, 7),
    )
)
_TERMS = (ProviderTerms(name=PROVIDER, currencies=frozenset({"EUR"}), minimum_minor={}),)
_KEY = Key("ann", "POST", "key", b"")
_REPLY = SavedReply(200, b"")

Step = Callable[[], None]


class History:
    """One life. `play` raises AssertionError where a promise is broken; `steps` says what happened."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(self.random, BEGAN)
        self.price = self.random.choice(PRICES)
        self.steps: list[str] = []
        self.mailbox: list[Step] = []  # reports that are on their way, in any order
        self._moves: tuple[tuple[Step, int], ...] = (
            (self.wait, 5),
            (self.ask_payment, 8),
            (self.bank_moves, 6),
            (self.webhook, 6),
            (self.deliver, 4),
            (self.tick, 4),
            (self.change_auto_renew, 2),
            (self.cancel, 1),
            (self.request_refund, 2),
            (self.ask_refund, 3),
            (self.decide_refund, 1),
            (self.refund_by_hand, 1),
            (self.bounce, 1),
            (self.rival_takes_the_place, 2),
            (self.price_changes, 1),
            (self.method_goes, 1),
        )

    def play(self) -> None:
        self.order()
        moves, weights = zip(*self._moves, strict=True)
        for move in self.random.choices(moves, weights, k=self.random.randrange(2, STEPS_MAX)):
            self.steps.append(move.__name__)
            move()
        self.end()

    # ---- what people do --------------------------------------------------------------------------------------

    def order(self) -> None:
        world, random = self.world, self.random
        saved = random.random() < 0.3
        world.method_known = saved
        world.trial_used = random.random() < 0.1
        request = OrderRequest(
            key=_KEY,
            buyer=Buyer(customer_id="ann", email=None, locale=None, time_zone=None),
            price_id=self.price.id,
            return_url="",
            terms=_TERMS,
            render=lambda _order, _payment: _REPLY,
            payment_method_id=METHOD if saved else None,
            respond_async=random.random() < 0.2,
        )
        offers = Offers(now=world.now, prices={self.price.id: self.price}, methods={("ann", METHOD): CARD})
        case, opened = open_order(
            world.load(), request, self.price, offers, order_id=new_id("ord"), former=None
        )
        assert isinstance(opened, OpenedOrder)
        world.keep(case)
        if opened.to_ask:
            self._ask(opened.to_ask)

    def change_auto_renew(self) -> None:
        subscription = self.world.subscription
        if subscription:
            wanted = not subscription.auto_renew
            self.world.keep(set_auto_renew(self.world.load(), subscription, auto_renew=wanted)[0])

    def cancel(self) -> None:
        order = self._any_order()
        case, opened = open_cancellation(self.world.load(order), order)
        self.world.keep(case)
        if isinstance(opened, OpenedCancellation) and opened.to_ask:
            self._ask(opened.to_ask)

    def request_refund(self) -> None:
        world, random, order = self.world, self.random, self._any_order()
        by_operator = random.random() < 0.6
        case = world.load(order)
        owing = [p.id for p in case.payments_of(order) if p.surplus_minor]
        want = OpenRefund(
            key=_KEY,
            order_id=order.id,
            requested_by="olga" if by_operator else "ann",
            by_operator=by_operator,
            reason="wish",
            amount_minor=random.choice((None, 1, 400, 1299)) if by_operator else None,
            access=random.choice((None, *RefundAccess)) if by_operator else None,
            render=lambda _refund: _REPLY,
            payment_id=owing[0] if by_operator and owing and random.random() < 0.5 else None,
            alone_max_minor={"EUR": 1000} if random.random() < 0.3 else {},
        )
        opening = open_refund(case, order, want, new_id("ref"), Returns())
        world.keep(opening.case)
        if isinstance(opening.answer, OpenedRefund) and opening.answer.to_ask:
            self._ask_refund(opening.answer.to_ask)

    def decide_refund(self) -> None:
        waiting = [r for r in self.world.refunds.values() if r.status is RefundStatus.AWAITING_APPROVAL]
        for refund in waiting[:1]:
            because = "no" if self.random.random() < 0.4 else None
            want = DecideRefund(refund_id=refund.id, operator_id="oscar", rejected_because=because)
            case, decided = decide_refund(self.world.load(self.world.orders[refund.order_id]), refund, want)
            self.world.keep(case)
            if to_ask := getattr(decided, "to_ask", None):
                self._ask_refund(to_ask)

    def rival_takes_the_place(self) -> None:
        """Another order of the customer for the same thing, once this one has left its place."""
        first = next(iter(self.world.orders.values()))
        if not first.holds:
            self.world.rival = place_of(first)

    def price_changes(self) -> None:
        """From the next period on: what is open stays as it was offered."""
        if subscription := self.world.subscription:
            changed = replace(subscription.amount, minor=subscription.amount.minor + 100)
            self.world.put(replace(subscription, amount=changed))

    def method_goes(self) -> None:
        self.world.method_known = False

    # ---- what workers do -------------------------------------------------------------------------------------

    def wait(self) -> None:
        self.world.now += timedelta(
            minutes=self.random.choice((1, 5, 60, 600, 1440, 4 * 1440, 12 * 1440, 31 * 1440))
        )

    def tick(self) -> None:
        """The renewal tick, which looks at what is due."""
        world, subscription = self.world, self.world.subscription
        if subscription is None or not subscription.next_action_at or subscription.next_action_at > world.now:
            return
        request = RenewalRequest(subscription_id=subscription.id)
        case, leased = look_at_due(world.load(), subscription, request, self._lease_context())
        world.keep(case)
        if isinstance(leased, LeasedPayment) and (world.bank.truthful or self.random.random() < 0.8):
            self._check_may_collect(leased)
            self._ask(leased)

    def ask_payment(self) -> None:
        if live := self.world.live():
            self._lease(self.random.choice(live))

    def ask_refund(self) -> None:
        if undecided := self.world.undecided_refunds():
            self._lease_refund(self.random.choice(undecided).id)

    def deliver(self) -> None:
        """One report arrives that was on its way."""
        if self.mailbox:
            self.mailbox.pop(self.random.randrange(len(self.mailbox)))()

    # ---- what happens at the bank ----------------------------------------------------------------------------

    def bank_moves(self) -> None:
        world, random = self.world, self.random
        remotes = list(world.bank.remotes())
        world.bank.decide_refunds()
        if not remotes:
            return
        payment_id, remote = random.choice(remotes)
        roll = random.random()
        if remote.is_open:
            world.bank.customer_acts(remote)
        elif roll < 0.15:
            world.bank.take_more(remote)
        elif roll < 0.25:
            world.bank.take_twice(payment_id)
        elif roll < 0.5:
            world.bank.takes_late(remote)
        if random.random() < 0.6:
            self._webhook(payment_id, remote.now)

    def webhook(self) -> None:
        """Any snapshot there ever was: an old one, the same again, one that overtook another."""
        remotes = list(self.world.bank.remotes())
        if remotes:
            payment_id, remote = self.random.choice(remotes)
            snapshot = self.random.choice([*remote.snapshots, remote.now, remote.now])
            if self.random.random() < 0.05:  # signed, and wrong
                snapshot = replace(snapshot, amount=replace(snapshot.amount, minor=snapshot.amount.minor + 1))
            self._webhook(payment_id, snapshot)

    def refund_by_hand(self) -> None:
        for payment_id, remote in self.world.bank.remotes():
            refund = self.world.bank.returned_by_hand(remote, self.random.choice((0.3, 1.0)))
            if refund:
                self._found(payment_id, refund)
                return

    def bounce(self) -> None:
        done = [r for r in self.world.bank.refunds.values() if r.state is RefundState.SUCCEEDED]
        if done:
            refund = self.world.bank.bounce(self.random.choice(done))
            if self.random.random() < 0.5:
                self._refund_webhook(refund)

    # ---- asking, and what is heard ---------------------------------------------------------------------------

    def _lease(self, payment: Payment) -> None:
        world = self.world
        case = world.load(world.orders[payment.order_id])
        request = LeaseRequest(id=payment.id)
        case, leased = lease_payment(case, case.payments[payment.id], request, self._lease_context())
        world.keep(case)
        if isinstance(leased, LeasedPayment):
            self._check_may_collect(leased)
            self._ask(leased)

    def _lease_context(self) -> LeaseContext:
        return LeaseContext({METHOD: CARD} if self.world.method_known else {})

    def _check_may_collect(self, leased: LeasedPayment) -> None:
        subscription = self.world.subscription
        renewal = leased.order.period_n is not None and subscription is not None
        if leased.purpose is Purpose.COLLECT and renewal and leased.payment.flow is PaymentFlow.CHARGE:
            assert subscription is not None and subscription.auto_renew, "charged after the opt-out"  # noqa: PT018

    def _ask(self, leased: LeasedPayment) -> None:
        """Ask the bank as shared_lib/asking does; its answer may be lost, or come when others have asked."""
        outcome = self._answer(leased)
        if not self.world.bank.truthful and self.random.random() < 0.12:
            outcome = LocalOutcome.TIMED_OUT
        report = PaymentReport(
            payment_id=leased.payment.id, outcome=outcome, fence=leased.payment.lease.fence, asked=True
        )
        self._send(lambda: self._settle(report), late=0.15)

    def _answer(self, leased: LeasedPayment) -> PaymentSnapshot | LocalOutcome:
        bank, payment, random = self.world.bank, leased.payment, self.random
        first = leased.status_before is PaymentStatus.CREATED
        known = bank.answer(payment.id)
        age = leased.now - (payment.lease.first_sent_at or leased.now)
        if known is None:
            if leased.purpose is Purpose.CLOSE:
                sure = first or age > timedelta(minutes=10)
                return LocalOutcome.NEVER_HAPPENED if sure else LocalOutcome.TIMED_OUT
            if age > KEY_LIVES:
                return LocalOutcome.NEVER_HAPPENED
            return self._send_payment(leased, first=first)
        if leased.purpose is Purpose.CLOSE:
            for remote in bank.payments[payment.id]:
                bank.close(remote)
        elif bank.truthful:
            for remote in bank.payments[payment.id]:
                if remote.is_open:
                    bank.customer_acts(remote)
        if random.random() < 0.05 and not bank.truthful:
            return LocalOutcome.TIMED_OUT
        answer = bank.answer(payment.id)
        assert answer is not None
        return answer

    def _send_payment(self, leased: LeasedPayment, *, first: bool) -> PaymentSnapshot | LocalOutcome:
        bank, payment, random = self.world.bank, leased.payment, self.random
        if payment.flow is PaymentFlow.CHARGE:
            if leased.method is None:
                return LocalOutcome.NO_METHOD
            if not payment.amount:
                return LocalOutcome.NOTHING_DUE
        roll = 1.0 if bank.truthful else random.random()
        if roll < 0.08:
            return LocalOutcome.NOT_SENT if first else LocalOutcome.TIMED_OUT
        if roll < 0.14 and first:
            return random.choice(
                (
                    LocalOutcome.REFUSED,
                    LocalOutcome.INPUT_REFUSED,
                    LocalOutcome.METHOD_UNKNOWN,
                    LocalOutcome.TOO_SMALL,
                )
                if payment.flow is PaymentFlow.CHARGE
                else (LocalOutcome.REFUSED, LocalOutcome.INPUT_REFUSED)
            )
        remote = bank.start(payment, leased.order.expires_at, self.world.now)
        return remote.now

    def _settle(self, report: PaymentReport) -> None:
        world = self.world
        payment = world.payments[report.payment_id]
        order = world.orders[payment.order_id]
        settled = settle(world.load(order), report, world.context(order))
        world.keep(settled.case)
        self._find_refunds()
        if settled.alarm and isinstance(report.outcome, PaymentSnapshot) and not report.asked:
            answer = world.bank.answer(payment.id)
            assert answer is not None
            self._settle(PaymentReport(payment_id=payment.id, outcome=answer, asked=True))

    def _webhook(self, payment_id: str, snapshot: PaymentSnapshot) -> None:
        self._send(lambda: self._settle(PaymentReport(payment_id=payment_id, outcome=snapshot)), late=0.4)

    def _lease_refund(self, refund_id: str) -> None:
        world = self.world
        refund = world.refunds[refund_id]
        case = world.load(world.orders[refund.order_id])
        case, leased = lease_refund(case, refund, LeaseRequest(id=refund_id))
        world.keep(case)
        if isinstance(leased, LeasedRefund):
            self._ask_refund(leased)

    def _ask_refund(self, leased: LeasedRefund) -> None:
        bank, refund = self.world.bank, leased.refund
        outcome: RefundSnapshot | LocalOutcome
        lost = not bank.truthful and self.random.random() < 0.2
        sent = not lost or self.random.random() < 0.5
        found = bank.give_back(refund, leased.payment) if sent else None
        outcome = LocalOutcome.TIMED_OUT if lost else found or LocalOutcome.REFUSED
        report = RefundReport(refund_id=refund.id, outcome=outcome, fence=refund.lease.fence)
        self._send(lambda: self._settle_refund(report), late=0.1)

    def _settle_refund(self, report: RefundReport) -> None:
        refund = self.world.refunds[report.refund_id]
        settled = settle_refund(self.world.load(self.world.orders[refund.order_id]), report)
        self.world.keep(settled.case)
        self._find_refunds()

    def _refund_webhook(self, refund: RefundSnapshot) -> None:
        ours = next(
            (r for r in self.world.refunds.values() if r.provider_ref == refund.provider_refund_id), None
        )
        if ours:
            report = RefundReport(refund_id=ours.id, outcome=refund)
            self._send(lambda: self._settle_refund(report), late=0.3)

    def _found(self, payment_id: str, refund: RefundSnapshot) -> None:
        """A list of the bank's refunds: of the payment of ours that this object is."""
        theirs = refund.payment.provider_payment_id
        named = [p for p in self.world.payments.values() if p.provider_ref == theirs]
        payment = named[0] if named else self.world.payments[payment_id]
        if payment.provider_ref == theirs:
            order = self.world.orders[payment.order_id]
            self.world.keep(settle_found(self.world.load(order), payment, refund, asked=True)[0])

    def _find_refunds(self) -> None:
        """The job find_refunds."""
        jobs, self.world.jobs = self.world.jobs, []
        for job in jobs:
            if job.type == "billing.job.find_refunds":
                self._list_refunds(job.data["payment_id"])

    def _list_refunds(self, payment_id: str) -> None:
        payment = self.world.payments[payment_id]
        for refund in list(self.world.bank.refunds.values()):
            if refund.payment.provider_payment_id == payment.provider_ref:
                self._found(payment_id, refund)

    def _send(self, arrive: Step, *, late: float) -> None:
        if not self.world.bank.truthful and self.random.random() < late:
            self.mailbox.append(arrive)
        else:
            arrive()

    def _any_order(self) -> Order:
        return self.random.choice(list(self.world.orders.values()))

    # ---- the end ---------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The customer opts out, the bank works and every answer arrives: within a bounded time all is decided."""
        world = self.world
        world.bank.truthful = True
        while self.mailbox:
            self.deliver()
        if world.subscription and world.subscription.auto_renew:
            self.steps.append("opts out")
            self.change_auto_renew()
        for _ in range(ROUNDS_MAX):
            self._decide_all()
            self._report_all()
            due = self._next_due()
            if due is None:
                break
            world.now = max(world.now, due)
            self.tick()
            for payment in world.live():
                if payment.lease.is_due(world.now):
                    self._lease(payment)
            for refund in world.undecided_refunds():
                if refund.lease.is_due(world.now):
                    self._lease_refund(refund.id)
        else:
            raise AssertionError(f"not decided after {ROUNDS_MAX} rounds")
        world.check_end()

    def _report_all(self) -> None:
        """Webhooks are repeated until they are taken: at last each tells what is true."""
        bank = self.world.bank
        bank.decide_refunds()
        for payment_id in list(bank.payments):
            answer = bank.answer(payment_id)
            payment = self.world.payments[payment_id]
            if answer and (answer.captured or not payment.is_live):
                self._settle(PaymentReport(payment_id=payment_id, outcome=answer, asked=True))
        for payment_id, remote in list(bank.remotes()):
            for refund in list(bank.refunds.values()):
                if refund.payment.provider_payment_id == remote.now.ref.provider_payment_id:
                    self._found(payment_id, refund)

    def _decide_all(self) -> None:
        for refund in list(self.world.refunds.values()):
            if refund.status is RefundStatus.AWAITING_APPROVAL:
                self.decide_refund()

    def _next_due(self) -> datetime | None:
        world, subscription = self.world, self.world.subscription
        # What a dead process had leased is due and yet leased to no other one before that lease is over.
        looks = [
            at and max(at, payment.lease.until or at)
            for payment in world.live()
            for at in (payment.lease.next_check_at,)
        ]
        looks += [refund.lease.next_check_at for refund in world.undecided_refunds()]
        if subscription and subscription.status in RENEWABLE:
            looks.append(subscription.next_action_at)
        return min((at for at in looks if at), default=None)


# ---- many of them --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broken:
    """A history that broke a promise."""

    seed: int
    promise: str
    steps: tuple[str, ...]


def play(seed: int) -> Broken | None:
    history = History(seed)
    try:
        history.play()
    except Exception as error:  # noqa: BLE001  # whatever it is, this history shows it
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno} {where.name})"
        return Broken(seed, said, tuple(history.steps))
    return None


def play_many(seeds: range) -> Broken | None:
    """The first that breaks a promise, if any."""
    return next((broken for seed in seeds if (broken := play(seed))), None)


def play_all(count: int, first: int = 0, workers: int = 2) -> Broken | None:
    """`count` histories, over `workers` processes."""
    chunk = max(1, min(2_000, count // workers))
    chunks = [range(at, min(at + chunk, first + count)) for at in range(first, first + count, chunk)]
    with ProcessPoolExecutor(workers) as pool:
        for broken in pool.map(play_many, chunks):
            if broken:
                pool.shutdown(cancel_futures=True)
                return broken
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first history")
    parser.add_argument("--only", type=int, help="play this one alone")
    parser.add_argument("--workers", type=int, default=2)
    wanted = parser.parse_args()
    began = time.monotonic()
    if wanted.only is not None:
        broken = play(wanted.only)
    else:
        broken = play_all(wanted.count, wanted.seed, wanted.workers)
    if broken:
        sys.stdout.write(
            f"history {broken.seed} broke a promise: {broken.promise}\n  {' '.join(broken.steps)}\n"
        )
        return 1
    sys.stdout.write(f"{wanted.count} histories in {time.monotonic() - began:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
