"""What an observation of a payment does to everything around it. Shared by the phases that settle payments."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from shared_lib.domain import ledger
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus, access_end
from shared_lib.domain.money import Money
from shared_lib.domain.order import ORDER, BillingReason, Order, OrderEvent
from shared_lib.domain.payment import PAYMENT, DeclineKind, Payment, PaymentEvent, PaymentFlow, PaymentStatus
from shared_lib.domain.schedule import ask_unknown_at, look_at_pending_at, send_again_at
from shared_lib.domain.state_machine import NoSuchEdge
from shared_lib.domain.subscription import RENEWABLE
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.phases import cycles, facts
from shared_lib.phases.closing import close_unpaid
from shared_lib.phases.desk import Desk
from shared_lib.phases.known import ONCE, Known
from shared_lib.phases.methods import never_again
from shared_lib.phases.observations import Observed, Silence, payment_event
from shared_lib.phases.surplus import send_back
from shared_lib.providers.base import PaymentSnapshot

log = structlog.get_logger(__name__)


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
        desk, event = self.desk, payment_event(observed.said)
        payment = desk.payments[observed.payment_id]
        if isinstance(observed.said, Silence) and observed.fence not in (None, payment.fence):
            return self._settled(payment.id)  # somebody else holds the lease now
        said = observed.said if isinstance(observed.said, PaymentSnapshot) else None
        if said and said.amount != payment.amount:
            return self._alarm(payment, f"amount {said.amount} is not the {payment.amount} of the payment")
        try:
            status = PAYMENT.after(payment.status, event)
        except NoSuchEdge as error:
            return self._alarm(payment, str(error))
        before = payment.status
        noted = self._noted(payment, status, said)
        if observed.said is Silence.NO_METHOD:
            noted = replace(
                noted, decline_kind=DeclineKind.ACTION_REQUIRED, decline_reason="no_payment_method"
            )
        if observed.said is Silence.INPUT_REFUSED and status is not before:
            noted = replace(noted, decline_reason=Silence.INPUT_REFUSED)
        desk.put(noted)
        if status is not before:
            self._moved(payment.id, event, observed)
        elif event in (PaymentEvent.TIMED_OUT, PaymentEvent.NOT_SENT, PaymentEvent.WENT_PENDING):
            self._wait(payment.id, event, observed.trace)
        return self._settled(payment.id)

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
        return replace(
            payment,
            status=status,
            provider_ref=payment.provider_ref or said.ref.provider_payment_id,
            provider_capture_ref=said.ref.capture_id or payment.provider_capture_ref,
            checkout_url=said.checkout_url or payment.checkout_url,
            captured_minor=max(payment.captured_minor, said.captured.minor),
            decline_kind=decline.kind if decline else payment.decline_kind,
            decline_reason=decline.reason if decline else payment.decline_reason,
        )

    def _moved(self, payment_id: str, event: PaymentEvent, observed: Observed) -> None:
        match self.desk.payments[payment_id].status:
            case PaymentStatus.SUCCEEDED:
                self._collected(payment_id, observed)
            case PaymentStatus.DECLINED:
                self._declined(payment_id, observed)
            case PaymentStatus.CANCELED | PaymentStatus.EXPIRED:
                self._came_to_nothing(payment_id, event)
            case PaymentStatus.PENDING | PaymentStatus.ACTION_REQUIRED:
                self._wait(payment_id, event, observed.trace)
                self._handed_to_customer(payment_id)
            case PaymentStatus.UNKNOWN | PaymentStatus.CREATED:
                self._wait(payment_id, event, observed.trace)
            case PaymentStatus.SENDING:
                raise AssertionError("only a claim makes a payment sending")

    def _decided(self, payment_id: str) -> Payment:
        """Nothing is left to ask about: no lease, no next look."""
        payment = replace(self.desk.payments[payment_id], next_check_at=None, lease_until=None)
        self.desk.put(payment)
        return payment

    # ---- money came in --------------------------------------------------------------------------------------

    def _collected(self, payment_id: str, observed: Observed) -> None:
        desk, payment = self.desk, self._decided(payment_id)
        order = desk.orders[payment.order_id]
        captured = Money(payment.captured_minor, payment.amount.currency)
        said = observed.said
        method_id = (
            self.known.methods.keep(said, order.customer_id) if isinstance(said, PaymentSnapshot) else None
        )
        wanted = not payment.surplus and self._deliverable(order, payment)
        desk.enter(ledger.captured(payment.id, order.id, payment.provider, captured, surplus=not wanted))
        if wanted:
            self._deliver(order, payment, method_id or payment.payment_method_id, observed.trace)
        else:
            send_back(desk, order, payment, captured, observed.trace)

    def _deliverable(self, order: Order, payment: Payment) -> bool:
        """Whether the thing can still be given for this money. Late money is welcome while it can."""
        if not ORDER.allows(order.status, OrderEvent.PAYMENT_SUCCEEDED):
            return False
        match order.billing_reason:
            case BillingReason.RENTAL:
                return True
            case BillingReason.PURCHASE:
                return (order.customer_id, order.product_id) not in self.known.owned
            case BillingReason.SUBSCRIPTION_CREATE:
                free = (order.customer_id, order.product_id) not in self.known.owned
                return free and cycles.may_start(self.desk, order)
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
        if order.billing_reason in ONCE:
            self.known.owned.add((order.customer_id, order.product_id))
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
            retry_at = cycles.declined(desk, order.id, kind, recent_charges, wait)
        else:
            close_unpaid(desk, order.id, OrderEvent.CANCELED)
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

    # ---- not decided yet ------------------------------------------------------------------------------------

    def _wait(self, payment_id: str, event: PaymentEvent, trace: str | None) -> None:
        """Come back later. A payment whose customer waits for a link is also asked for through the bus."""
        desk, payment = self.desk, self.desk.payments[payment_id]
        order = desk.orders[payment.order_id]
        match payment.status:
            case PaymentStatus.UNKNOWN:
                at = ask_unknown_at(desk.now, payment.checks)
            case PaymentStatus.CREATED:
                at = send_again_at(desk.now, payment.checks)
            case _:
                at = min(look_at_pending_at(desk.now, payment.checks), max(order.expires_at, desk.now))
        first_silence = event in (PaymentEvent.TIMED_OUT, PaymentEvent.NOT_SENT) and payment.checks == 0
        desk.put(replace(payment, next_check_at=at, checks=payment.checks + 1, lease_until=None))
        if event is PaymentEvent.TIMED_OUT and first_silence:
            unknown = facts.of_payment(desk.payments[payment_id], order)
            desk.tell_of_order("billing.payment.unknown", order.id, unknown, trace)
        if first_silence and payment.flow is PaymentFlow.CHECKOUT:
            desk.ask_for(facts.start_payment_job(payment, order.customer_id, at, trace))

    def _handed_to_customer(self, payment_id: str) -> None:
        """A renewal that only its customer can finish: tell them where."""
        desk, payment = self.desk, self.desk.payments[payment_id]
        order = desk.orders[payment.order_id]
        if order.billing_reason is not BillingReason.SUBSCRIPTION_CYCLE or not payment.checkout_url:
            return
        told = facts.of_payment(payment, order, checkout_url=payment.checkout_url)
        desk.tell_of_order("billing.payment.action_required", order.id, told)
        if (
            payment.flow is PaymentFlow.CHARGE
            and desk.subscriptions[order.subscription_id or ""].status in RENEWABLE
        ):
            cycles.waits_for_customer(desk, order.id)
