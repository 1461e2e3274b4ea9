"""A provider and its customer's bank, in memory: what is true there, whatever reaches us of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from shared_lib.billing.reports import (
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    RefundSnapshot,
    RefundState,
    SavedMethodRef,
)
from shared_lib.domain.money import Money, zero
from shared_lib.domain.payment import Decline, DeclineKind, Payment, PaymentFlow
from shared_lib.domain.refund import Refund
from shared_lib.domain.values import replace

PROVIDER = "bank"
CARD = SavedMethodRef(provider=PROVIDER, method_id="card", fingerprint="card")

OPEN = frozenset({PaymentState.PENDING, PaymentState.ACTION_REQUIRED, PaymentState.APPROVED})


@dataclass(slots=True)
class Remote:
    """One object of the provider. `snapshots` are all it ever looked like: a webhook may bring any of them."""

    now: PaymentSnapshot
    snapshots: list[PaymentSnapshot] = field(default_factory=list)

    def become(self, snapshot: PaymentSnapshot) -> None:
        self.snapshots.append(self.now)
        self.now = snapshot

    @property
    def is_open(self) -> bool:
        return self.now.state in OPEN


class Bank:
    """`payments` by our payment id: the object that we asked for, and others that carry its id by a fault."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.payments: dict[str, list[Remote]] = {}
        self.refunds: dict[str, RefundSnapshot] = {}  # by the provider's id
        self.bounced: list[RefundSnapshot] = []
        self.truthful = False  # towards the end: everything works, and every answer arrives
        self._number = 0

    # ---- what it is asked ------------------------------------------------------------------------------------

    def start(self, payment: Payment, expires_at: datetime, now: datetime) -> Remote:
        """Execute a request. The same payment again is the same object."""
        if payment.id in self.payments:
            return self.payments[payment.id][0]
        remote = Remote(self._made(payment, now))
        checkout = payment.flow is PaymentFlow.CHECKOUT
        if checkout:
            remote.now = replace(
                remote.now, checkout_url="https://bank.example/pay", expires_at=max(expires_at, now)
            )
        self.payments[payment.id] = [remote]
        if not checkout:
            self._charge(remote)
        return remote

    def close(self, remote: Remote) -> None:
        if remote.is_open:
            remote.become(replace(remote.now, state=PaymentState.CANCELED))

    def answer(self, payment_id: str) -> PaymentSnapshot | None:
        """What a search by our id finds: the one that took the money first, the rest beside it."""
        remotes = self.payments.get(payment_id)
        if not remotes:
            return None
        first, *others = sorted(remotes, key=lambda one: (not one.now.captured, not one.is_open))
        return replace(first.now, others=tuple(one.now for one in others)) if others else first.now

    def give_back(self, refund: Refund, ref: PaymentRef) -> RefundSnapshot | None:
        """Execute a refund, or find the one that was executed. None: it is refused, for good."""
        known = self.refund_of(refund.id)
        if known:
            return known
        remote = self._remote(ref)
        left = remote.now.captured.minor - self.returned(remote)
        if refund.amount.minor > left or refund.amount.currency != remote.now.captured.currency:
            return None
        state = RefundState.SUCCEEDED if self.truthful else self._weighed(_REFUNDS)
        return self._refund(remote, refund.amount, state, refund.id)

    def refund_of(self, refund_id: str) -> RefundSnapshot | None:
        return next((one for one in self.refunds.values() if one.our_refund_id == refund_id), None)

    def returned(self, remote: Remote) -> int:
        """Minor units that went back, or are on their way."""
        return sum(
            one.amount.minor
            for one in self.refunds.values()
            if one.payment.provider_payment_id == remote.now.ref.provider_payment_id
            and one.state in (RefundState.SUCCEEDED, RefundState.PENDING)
        )

    # ---- what happens there ----------------------------------------------------------------------------------

    def customer_acts(self, remote: Remote) -> None:
        """The customer pays an open page, or the bank decides about a charge; now and then not as asked."""
        was, random = remote.now, self.random
        roll = random.random()
        if roll < 0.62 or self.truthful:
            amount = was.amount
            if not self.truthful and amount and random.random() < 0.12:
                amount = replace(amount, minor=max(1, amount.minor + random.choice((-50, 70))))
            self._take(remote, amount)
        elif roll < 0.72:
            remote.become(replace(was, state=PaymentState.CANCELED))
        elif roll < 0.8:
            remote.become(replace(was, state=PaymentState.EXPIRED))
        else:
            self._decline(remote)

    def takes_late(self, remote: Remote) -> None:
        """Money that the bank had under way when its page was closed, or was told to be."""
        if remote.now.state in (PaymentState.CANCELED, PaymentState.EXPIRED):
            self._take(remote, remote.now.amount)

    def take_more(self, remote: Remote) -> None:
        if remote.now.captured:
            more = replace(remote.now.captured, minor=remote.now.captured.minor + 30)
            remote.become(replace(remote.now, captured=more))

    def take_twice(self, payment_id: str) -> None:
        """A second object under the same id."""
        first = self.payments[payment_id][0].now
        twin = replace(first, ref=self._ref(), captured=first.amount, state=PaymentState.SUCCEEDED)
        if twin.captured:
            self.payments[payment_id].append(Remote(replace(twin, refunded=zero(first.amount.currency))))

    def returned_by_hand(self, remote: Remote, share: float) -> RefundSnapshot | None:
        """A person gives money back in the provider's dashboard: of the price that was asked for.

        One refund of the price and of a surplus beside it is not adopted: `refund_beyond_captured` calls an operator.
        """
        left = min(remote.now.captured, remote.now.amount).minor - self.returned(remote)
        minor = int(left * share)
        if minor <= 0:
            return None
        amount = Money(minor, remote.now.captured.currency)
        return self._refund(remote, amount, RefundState.SUCCEEDED, None)

    def bounce(self, refund: RefundSnapshot) -> RefundSnapshot:
        """A bank sends returned money back, days later."""
        failed = replace(refund, state=RefundState.FAILED, reason="bounced")
        self._keep(failed)
        return failed

    def decide_refunds(self) -> None:
        for refund in list(self.refunds.values()):
            if refund.state is RefundState.PENDING:
                self._keep(replace(refund, state=RefundState.SUCCEEDED))

    def remotes(self) -> Iterator[tuple[str, Remote]]:
        for payment_id, remotes in self.payments.items():
            for remote in remotes:
                yield payment_id, remote

    def holds(self) -> dict[str, int]:
        """Minor units by currency that it has of us."""
        held: dict[str, int] = {}
        for _, remote in self.remotes():
            captured = remote.now.captured
            held[captured.currency] = held.get(captured.currency, 0) + captured.minor
        for refund in self.refunds.values():
            if refund.state is RefundState.SUCCEEDED:
                held[refund.amount.currency] = held.get(refund.amount.currency, 0) - refund.amount.minor
        return held

    # ---- within ----------------------------------------------------------------------------------------------

    def _made(self, payment: Payment, now: datetime) -> PaymentSnapshot:
        nothing = zero(payment.amount.currency)
        return PaymentSnapshot(
            ref=self._ref(),
            state=PaymentState.PENDING,
            amount=payment.amount,
            captured=nothing,
            refunded=nothing,
            payment_id=payment.id,
            order_id=payment.order_id,
            created_at=now,
        )

    def _charge(self, remote: Remote) -> None:
        roll = self.random.random()
        if roll < 0.5:
            self._take(remote, remote.now.amount)
        elif roll < 0.8:
            self._decline(remote)
        elif roll < 0.9:
            url = "https://bank.example/confirm"
            remote.become(replace(remote.now, state=PaymentState.ACTION_REQUIRED, checkout_url=url))

    def _take(self, remote: Remote, amount: Money) -> None:
        remote.become(replace(remote.now, state=PaymentState.SUCCEEDED, captured=amount, saved_method=CARD))

    def _decline(self, remote: Remote) -> None:
        kind = self._weighed(_DECLINES)
        wait = timedelta(days=2) if self.random.random() < 0.1 else None
        decline = Decline(kind=kind, reason="declined", provider_code="05", retry_after=wait)
        remote.become(replace(remote.now, state=PaymentState.DECLINED, decline=decline))

    def _refund(
        self, remote: Remote, amount: Money, state: RefundState, our_id: str | None
    ) -> RefundSnapshot:
        self._number += 1
        refund = RefundSnapshot(
            provider_refund_id=f"rf_{self._number}",
            our_refund_id=our_id,
            payment=remote.now.ref,
            state=state,
            amount=amount,
        )
        self._keep(refund)
        return refund

    def _keep(self, refund: RefundSnapshot) -> None:
        self.refunds[refund.provider_refund_id] = refund
        remote = self._remote(refund.payment)
        minor = sum(
            one.amount.minor
            for one in self.refunds.values()
            if one.payment.provider_payment_id == refund.payment.provider_payment_id
            and one.state is RefundState.SUCCEEDED
        )
        remote.now = replace(remote.now, refunded=replace(remote.now.refunded, minor=minor))

    def _remote(self, ref: PaymentRef) -> Remote:
        return next(
            one for _, one in self.remotes() if one.now.ref.provider_payment_id == ref.provider_payment_id
        )

    def _ref(self) -> PaymentRef:
        self._number += 1
        return PaymentRef(provider=PROVIDER, provider_payment_id=f"py_{self._number}")

    def _weighed(self, weights: dict[Any, int]) -> Any:
        return self.random.choices(list(weights), list(weights.values()))[0]


_REFUNDS = {RefundState.SUCCEEDED: 7, RefundState.PENDING: 2, RefundState.FAILED: 1}
_DECLINES = {DeclineKind.SOFT: 6, DeclineKind.HARD: 2, DeclineKind.ACTION_REQUIRED: 2}
