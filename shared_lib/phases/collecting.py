"""What an observation of a payment does to everything around it. Shared by the phases that settle payments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from shared_lib.domain import ledger
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus, access_end
from shared_lib.domain.money import Money
from shared_lib.domain.order import ORDER, PLACED, BillingReason, Order, OrderEvent
from shared_lib.domain.payment import PAYMENT, DeclineKind, Payment, PaymentEvent, PaymentFlow, PaymentStatus
from shared_lib.domain.state_machine import NoSuchEdge
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import cycles, facts, links
from shared_lib.phases.closing import close_unpaid
from shared_lib.phases.confirming import open_page_or_close
from shared_lib.phases.desk import Desk
from shared_lib.phases.evidence import Proof, is_about_another, judge
from shared_lib.phases.known import Known
from shared_lib.phases.methods import never_again
from shared_lib.phases.observations import Observed, Silence, payment_event
from shared_lib.phases.surplus import look_for_refunds, record_another, record_more, send_back
from shared_lib.phases.waiting import handed_to_customer, wait
from shared_lib.providers.base import PaymentSnapshot

log = structlog.get_logger(__name__)

# There is no charge, so there was no bank to decline it: what its customer can do about it.
NOT_CHARGEABLE: Mapping[object, str] = {
    Silence.NO_METHOD: links.NO_METHOD,
    Silence.METHOD_UNKNOWN: links.METHOD_UNKNOWN,
    Silence.TOO_SMALL: links.TOO_SMALL,
}

_STILL_WAITING = frozenset({PaymentEvent.TIMED_OUT, PaymentEvent.NOT_SENT, PaymentEvent.WENT_PENDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where the payment stands now. `alarm`: the news contradict what we know; ask the provider before believing."""

    order: Order
    payment: Payment
    alarm: bool = False


class Collecting:
    """The desk with what settling needs to know beside it, read once for the whole batch."""

    def __init__(self, desk: Desk, known: Known) -> None:
        self.desk = desk
        self.known = known

    def apply(self, observed: Observed) -> Settled:
        """Walk one edge. Old news changes nothing but facts that only grow."""
        payment = self.desk.payments[observed.payment_id]
        if isinstance(observed.said, Silence):
            if observed.fence not in (None, payment.fence):
                return self._settled(payment.id)  # another process holds the lease now
            return self._walk(observed, payment_event(observed.said), Proof.AS_ASKED)
        if is_about_another(payment, observed.said):
            return self._about_another(payment, observed, observed.said)
        settled = self._believe(payment, observed, observed.said)
        for another in observed.said.others:
            self._about_another(payment, observed, another)
        return self._settled(payment.id, alarm=settled.alarm) if observed.said.others else settled

    def _believe(self, payment: Payment, observed: Observed, said: PaymentSnapshot) -> Settled:
        finding, settled = judge(payment, said, asked=observed.asked), self._settled(payment.id)
        match finding.proof:
            case Proof.CONTRADICTION:
                return self._doubt(payment, observed, finding.why)
            case Proof.MORE_MONEY:
                record_more(self.desk, payment, said, observed.trace)
                settled = self._settled(payment.id)
            case Proof.OTHER_MONEY:
                log.error(
                    "payment_not_as_asked", payment_id=payment.id, order_id=payment.order_id, why=finding.why
                )
                settled = self._walk(observed, PaymentEvent.SUCCEEDED, finding.proof)
            case Proof.AS_ASKED | Proof.OLD_NEWS:
                settled = self._walk(observed, payment_event(said), finding.proof)
        look_for_refunds(self.desk, settled.payment, said)  # asks for a job, and so changes neither
        return settled

    def _about_another(self, payment: Payment, observed: Observed, said: PaymentSnapshot) -> Settled:
        """The provider has a second object under our id. What it says is never about this payment."""
        for sibling in self.desk.payments_of(payment.order_id):
            if sibling.provider_ref and not is_about_another(sibling, said):
                return self._believe(sibling, replace(observed, payment_id=sibling.id, said=said), said)
        if said.captured and not observed.asked:
            return self._alarm(
                payment, f"{said.ref.provider_payment_id} captured {said.captured} under our id"
            )
        record_another(self.desk, payment, said, observed.trace)
        return self._settled(payment.id)

    def _walk(self, observed: Observed, event: PaymentEvent, proof: Proof) -> Settled:
        payment = self.desk.payments[observed.payment_id]
        said = observed.said if isinstance(observed.said, PaymentSnapshot) else None
        try:
            status = PAYMENT.after(payment.status, event)
        except NoSuchEdge as error:
            return self._doubt(payment, observed, str(error))
        before = payment.status
        noted = self._noted(payment, status, said)
        if said is None and (reason := NOT_CHARGEABLE.get(observed.said)):
            noted = replace(noted, decline_kind=DeclineKind.ACTION_REQUIRED, decline_reason=reason)
        if observed.said is Silence.INPUT_REFUSED and status is not before:
            noted = replace(noted, decline_reason=Silence.INPUT_REFUSED)
        self.desk.put(noted)
        if status is not before:
            self._moved(payment.id, event, observed, proof)
        elif payment.is_live and event in _STILL_WAITING:
            wait(self.desk, payment.id, event, observed.trace, said)
        return self._settled(payment.id)

    def _doubt(self, payment: Payment, observed: Observed, why: str) -> Settled:
        """Nothing is believed. A payment that we asked about is asked about again, later each time."""
        asked_now = observed.fence is not None and observed.fence == payment.fence
        if asked_now and PAYMENT.allows(payment.status, PaymentEvent.TIMED_OUT) and payment.is_live:
            self.desk.put(replace(payment, status=PAYMENT.after(payment.status, PaymentEvent.TIMED_OUT)))
            wait(self.desk, payment.id, PaymentEvent.TIMED_OUT, observed.trace)
        return self._alarm(payment, why)

    def _settled(self, payment_id: str, *, alarm: bool = False) -> Settled:
        payment = self.desk.payments[payment_id]
        return Settled(order=self.desk.orders[payment.order_id], payment=payment, alarm=alarm)

    def _alarm(self, payment: Payment, why: str) -> Settled:
        log.error("payment_contradiction", payment_id=payment.id, order_id=payment.order_id, why=why)
        return self._settled(payment.id, alarm=True)

    def _noted(self, payment: Payment, status: PaymentStatus, said: PaymentSnapshot | None) -> Payment:
        """The payment with its new status and what only grows: refs are kept, captured money never shrinks."""
        if said is None:
            return replace(payment, status=status) if status is not payment.status else payment
        decline = said.decline if status is PaymentStatus.DECLINED else None
        # Money in another currency than was asked for is shown and returned in its own.
        in_other_currency = bool(said.captured) and said.captured.currency != payment.amount.currency
        return replace(
            payment,
            status=status,
            provider_ref=payment.provider_ref or said.ref.provider_payment_id,
            provider_capture_ref=said.ref.capture_id or payment.provider_capture_ref,
            checkout_url=said.checkout_url or payment.checkout_url,
            amount=said.amount if in_other_currency else payment.amount,
            captured_minor=max(payment.captured_minor, said.captured.minor),
            decline_kind=decline.kind if decline else payment.decline_kind,
            decline_reason=decline.reason if decline else payment.decline_reason,
        )

    def _moved(self, payment_id: str, event: PaymentEvent, observed: Observed, proof: Proof) -> None:
        match self.desk.payments[payment_id].status:
            case PaymentStatus.SUCCEEDED:
                self._collected(payment_id, observed, as_asked=proof is Proof.AS_ASKED)
            case PaymentStatus.DECLINED:
                self._declined(payment_id, observed)
            case PaymentStatus.CANCELED | PaymentStatus.EXPIRED:
                self._came_to_nothing(payment_id, event)
            case PaymentStatus.PENDING | PaymentStatus.ACTION_REQUIRED:
                said = observed.said if isinstance(observed.said, PaymentSnapshot) else None
                wait(self.desk, payment_id, event, observed.trace, said)
                handed_to_customer(self.desk, payment_id)
            case PaymentStatus.UNKNOWN | PaymentStatus.CREATED:
                wait(self.desk, payment_id, event, observed.trace)
            case PaymentStatus.SENDING:
                raise AssertionError("only a claim makes a payment sending")

    def _decided(self, payment_id: str) -> Payment:
        """Nothing is left to ask about: no lease, no next look."""
        payment = replace(self.desk.payments[payment_id], next_check_at=None, lease_until=None)
        self.desk.put(payment)
        return payment

    # ---- money came in --------------------------------------------------------------------------------------

    def _collected(self, payment_id: str, observed: Observed, *, as_asked: bool) -> None:
        desk, payment = self.desk, self._decided(payment_id)
        order = desk.orders[payment.order_id]
        captured = Money(payment.captured_minor, payment.amount.currency)
        said = observed.said
        method_id = (
            self.known.methods.keep(said, order.customer_id) if isinstance(said, PaymentSnapshot) else None
        )
        wanted = as_asked and not payment.surplus and self._deliverable(order, payment)
        desk.enter(ledger.captured(payment.id, order.id, payment.provider, captured, surplus=not wanted))
        if wanted and not self.known.trials.may_begin(order):
            self.known.trials.refuse(order, payment)
        elif wanted:
            self._deliver(order, payment, method_id or payment.payment_method_id, observed.trace)
        else:
            self.known.trials.give_up(order)
            returned = said.refunded.minor if isinstance(said, PaymentSnapshot) else 0
            send_back(desk, payment, observed.trace, as_asked=as_asked, returned_minor=returned)

    def _deliverable(self, order: Order, payment: Payment) -> bool:
        """Whether the thing can still be given for this money. Late money is welcome while it can."""
        if not ORDER.allows(order.status, OrderEvent.PAYMENT_SUCCEEDED):
            return False
        match order.billing_reason:
            case BillingReason.PURCHASE | BillingReason.RENTAL:
                return self.known.may_take(self.desk, order)
            case BillingReason.SUBSCRIPTION_CREATE:
                return self.known.may_take(self.desk, order) and cycles.may_start(self.desk, order)
            case BillingReason.SUBSCRIPTION_CYCLE | BillingReason.SUBSCRIPTION_UPDATE:
                return cycles.may_renew(self.desk, order, by_customer=payment.flow is PaymentFlow.CHECKOUT)

    def _deliver(self, order: Order, payment: Payment, method_id: str | None, trace: str | None) -> None:
        desk = self.desk
        for other in desk.payments_of(order.id):
            if other.is_live and other.id != payment.id:
                # Its link must be closed; what it captures all the same goes back.
                desk.put(replace(other, surplus=True, next_check_at=desk.now))
        desk.put(
            replace(
                order,
                status=ORDER.after(order.status, OrderEvent.PAYMENT_SUCCEEDED),
                paid_payment_id=payment.id,
                paid_at=desk.now,
            )
        )
        if order.subscription_id:
            cycles.paid(desk, order.id, method_id)
        if order.billing_reason in PLACED:
            self.known.take(desk, desk.orders[order.id])
        paid = desk.orders[order.id]
        trial = order.kind is PriceKind.SUBSCRIPTION and not order.amount
        desk.tell_of_order(
            "billing.order.paid",
            order.id,
            facts.of_order(paid, payment_id=payment.id, paid_at=facts.instant(paid.paid_at), trial=trial),
            trace,
        )
        desk.tell_of_order("billing.payment.succeeded", order.id, facts.of_payment(payment, paid), trace)
        self._entitle(paid, trace)
        if order.subscription_id:
            cycles.tell_paid(desk, paid)

    def _entitle(self, order: Order, trace: str | None) -> None:
        entitlement = Entitlement(
            id=new_id("ent"),
            customer_id=order.customer_id,
            product_id=order.product_id,
            order_id=order.id,
            subscription_id=order.subscription_id,
            kind=order.kind,
            status=EntitlementStatus.ACTIVE,
            starts_at=order.period_start or self.desk.now,
            ends_at=access_end(order.kind, self.desk.now, order.period_end),
        )
        self.desk.put(entitlement)
        granted = facts.of_entitlement(entitlement)
        self.desk.tell_of_order("billing.entitlement.granted", order.id, granted, trace)

    # ---- no money -------------------------------------------------------------------------------------------

    def _declined(self, payment_id: str, observed: Observed) -> None:
        desk, payment = self.desk, self._decided(payment_id)
        order = desk.orders[payment.order_id]
        kind = payment.decline_kind or DeclineKind.SOFT
        if kind is DeclineKind.HARD and payment.payment_method_id:
            never_again(desk, payment.payment_method_id)
        retry_at = None
        if order.billing_reason is BillingReason.SUBSCRIPTION_CYCLE:
            decline = observed.said.decline if isinstance(observed.said, PaymentSnapshot) else None
            recent_charges = self.known.recent_charges.get(payment.payment_method_id or "", 0)
            wait = decline.retry_after if decline else None
            retry_at = cycles.declined(desk, payment, recent_charges, wait)
        else:
            open_page_or_close(desk, order, payment, observed.trace)
        desk.tell_of_order(
            "billing.payment.declined",
            order.id,
            facts.of_payment(
                payment,
                order,
                decline_kind=kind,
                decline_reason=payment.decline_reason,
                next_retry_at=facts.instant(retry_at),
            ),
            observed.trace,
        )

    def _came_to_nothing(self, payment_id: str, event: PaymentEvent) -> None:
        desk, payment = self.desk, self._decided(payment_id)
        order = desk.orders[payment.order_id]
        if payment.surplus:
            return  # the order is paid by another one
        if order.billing_reason is BillingReason.SUBSCRIPTION_CYCLE:
            cycles.came_to_nothing(desk, payment)
        else:
            expired = event is PaymentEvent.EXPIRED or order.expires_at <= desk.now
            close_unpaid(desk, order.id, OrderEvent.EXPIRED if expired else OrderEvent.CANCELED)
