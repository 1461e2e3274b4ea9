"""What settling must know beside its cases, read once for the whole batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from shared_lib.billing.case import Case
from shared_lib.billing.context import Holder, SettlementContext, TrialClaims
from shared_lib.billing.reasons import reason_of
from shared_lib.billing.reports import PaymentReport, PaymentSnapshot, payment_event
from shared_lib.domain import dunning
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.order import Order, Place
from shared_lib.domain.payment import Payment, PaymentEvent, PaymentStatus
from shared_lib.domain.values import Value
from shared_lib.ids import new_id
from shared_lib.store.cases import Cases
from shared_lib.store.methods import ask_method_ids
from shared_lib.store.transaction import Question, Row, Transaction
from shared_lib.store.trials import Claim, claim_trials


class _Reported(Value):
    """A report with the case that it is about, as it is before the report is settled."""

    case: Case
    payment: Payment
    report: PaymentReport

    @property
    def order(self) -> Order:
        return self.case.order_of(self.payment)

    @property
    def event(self) -> PaymentEvent:
        return payment_event(self.report.outcome)

    @property
    def snapshots(self) -> Sequence[PaymentSnapshot]:
        """What the provider says, also of further objects under our id."""
        outcome = self.report.outcome
        return (outcome, *outcome.others) if isinstance(outcome, PaymentSnapshot) else ()


async def read_context(tx: Transaction, cases: Cases, reports: Sequence[PaymentReport]) -> SettlementContext:
    """Places, recent charges and methods; and claim the trials whose card has just been verified.

    Reports about payments that no case holds are passed over. All questions travel together, those about places after
    the claims: a claim may wait for another transaction, and so sees what that has committed.
    """
    reported = [
        _Reported(case, case.payments[report.payment_id], report)
        for report in reports
        if (case := cases.of_payment(report.payment_id))
    ]
    identities = await _identities(tx, reported)
    claims = await _claim(tx, reported, identities)
    places = await _ask_places(tx, reported)
    charges = await _ask_recent_charges(tx, reported)
    refs = {
        (method.provider, method.method_id)
        for one in reported
        for snapshot in one.snapshots
        if (method := snapshot.saved_method)
    }
    known = await ask_method_ids(tx, refs) if refs else None
    trials = TrialClaims(identities, await _owners(claims)) if claims else TrialClaims()
    owned, holders = await _places(places)
    methods = {(provider, ref): method_id for provider, ref, method_id in await _rows(known)}
    new_methods = {ref: new_id("pm") for ref in refs if ref not in methods}
    return SettlementContext(
        owned=owned,
        holders=holders,
        recent_charges=dict(await _rows(charges)),
        trials=trials,
        methods=methods | new_methods,
        new_methods=frozenset(new_methods.values()),
    )


async def _rows(question: Question | None) -> Sequence[Row]:
    return await question.rows() if question else ()


# ---- places --------------------------------------------------------------------------------------------------

_PLACES: Final = """
    SELECT customer_id, product_id, kind, NULL::text, NULL::boolean FROM entitlements
    WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
      AND kind <> 'subscription' AND status = 'active' AND (ends_at IS NULL OR ends_at > %s)
    UNION ALL
    SELECT customer_id, product_id, 'subscription', NULL::text, NULL::boolean FROM subscriptions
    WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
      AND status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')
    UNION ALL
    SELECT customer_id, product_id, kind, id, status = 'pending' FROM orders
    WHERE (customer_id, product_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND holds
"""


async def _ask_places(tx: Transaction, reported: Sequence[_Reported]) -> Question | None:
    """Of what would be delivered now."""
    collected = {one.order.id: one.order for one in reported if one.event is PaymentEvent.SUCCEEDED}
    orders = [order for order in collected.values() if reason_of(order).takes_place]
    if not orders:
        return None
    addresses = [[order.customer_id for order in orders], [order.product_id for order in orders]]
    return await tx.ask(_PLACES, [*addresses, tx.now, *addresses, *addresses])


async def _places(question: Question | None) -> tuple[frozenset[Place], Mapping[Place, Holder]]:
    """Those that customers have, and the orders that hold one."""
    owned: set[Place] = set()
    holders: dict[Place, Holder] = {}
    for customer_id, product_id, kind, holder_id, waits in await question.rows() if question else ():
        place = customer_id, product_id, PriceKind(kind)
        if holder_id is None:
            owned.add(place)
        else:
            holders[place] = Holder(holder_id, waits)
    return frozenset(owned), holders


# ---- charges -------------------------------------------------------------------------------------------------


async def _ask_recent_charges(tx: Transaction, reported: Sequence[_Reported]) -> Question | None:
    """How often methods that were declined just now were charged in the last 30 days."""
    declined = {one.payment.payment_method_id for one in reported if one.event is PaymentEvent.DECLINED}
    declined -= {None}
    if not declined:
        return None
    return await tx.ask(
        """
        SELECT m.id, count(*) FROM payment_methods m
        JOIN orders o ON o.customer_id = m.customer_id JOIN payments p ON p.order_id = o.id
        WHERE m.id = ANY(%s) AND p.payment_method_id = m.id
          AND p.flow = 'charge' AND p.created_at > %s
        GROUP BY m.id
        """,
        [list(declined), tx.now - timedelta(days=dunning.DEFAULT.attempts_window_days)],
    )


# ---- trials --------------------------------------------------------------------------------------------------


async def _identities(tx: Transaction, reported: Sequence[_Reported]) -> Mapping[str, Sequence[str]]:
    """By order id: the customer and the card that its trial uses up."""
    verified = [one for one in reported if _begins_a_trial(one)]
    ids = sorted({one.payment.payment_method_id for one in verified if one.payment.payment_method_id})
    rows = await tx.fetch("SELECT id, card_key FROM payment_methods WHERE id = ANY(%s)", [ids]) if ids else ()
    saved: dict[str | None, str | None] = dict(rows)
    identities: dict[str, Sequence[str]] = {}
    for one in verified:
        brought = one.snapshots[0].saved_method if one.snapshots else None
        card = brought.fingerprint if brought else saved.get(one.payment.payment_method_id)
        customer = f"customer:{one.order.customer_id}"
        identities[one.order.id] = [customer, f"card:{card}"] if card else [customer]
    return identities


def _begins_a_trial(one: _Reported) -> bool:
    succeeds = one.payment.status is not PaymentStatus.SUCCEEDED and one.event is PaymentEvent.SUCCEEDED
    return succeeds and reason_of(one.order).uses_trial(one.case, one.order)


async def _claim(
    tx: Transaction, reported: Sequence[_Reported], identities: Mapping[str, Sequence[str]]
) -> Question | None:
    if not identities:
        return None
    orders = {one.order.id: one.order for one in reported}
    claims: list[Claim] = [
        (orders[order_id].product_id, identity, orders[order_id].customer_id, order_id)
        for order_id, used in identities.items()
        for identity in used
    ]
    return await claim_trials(tx, claims)


async def _owners(question: Question) -> Mapping[tuple[str, str], str]:
    rows = await question.rows()
    return {(product_id, identity): order_id for product_id, identity, order_id in rows}
