"""Cases are loaded whole, from the root, and what decisions make of them is written together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from shared_lib.billing import facts, jobs
from shared_lib.billing.case import Case, LogLine, MethodKept, PlaceVacated
from shared_lib.domain.values import replace
from shared_lib.providers.base import SavedMethodRef
from shared_lib.store.cases import Cases
from shared_lib.store.transaction import Transaction
from tests.phases.runner import BASIC, FILM, STALKER, PhaseRunner, want


def cases_of(cases: Cases, order_ids: Sequence[str]) -> list[Case]:
    found = [cases.of_order(order_id) for order_id in order_ids]
    assert all(found)
    return [case for case in found if case]


async def test_what_is_not_there_has_no_case(phases: PhaseRunner) -> None:
    async def look(tx: Transaction, ids: Sequence[str]) -> list[None]:
        for load in (Cases.of_orders, Cases.of_payments, Cases.of_refunds, Cases.of_subscriptions):
            cases = await load(tx, ids)
            assert [cases.of_order("ord_x"), cases.of_payment("pay_x"), cases.of_refund("ref_x")] == [
                None
            ] * 3
            assert cases.of_subscription("sub_x") is None
            assert cases.new().now == cases.now == tx.now
            cases.write()
        return [None]

    await phases.commit(look, "ord_x", "pay_x", "ref_x", "sub_x")

    async def look_at_none(tx: Transaction, _: Sequence[None]) -> list[None]:
        assert (await Cases.of_orders(tx, [])).now == tx.now
        return [None]

    await phases.commit(look_at_none, None)


async def test_a_subscription_comes_with_all_that_hangs_on_its_orders(phases: PhaseRunner) -> None:
    (first,) = await phases.bought(want(BASIC))
    await phases.advance(timedelta(days=40))
    (renewal,) = await phases.renewals()

    async def look(tx: Transaction, order_ids: Sequence[str]) -> list[Case | None]:
        by_order = (await Cases.of_orders(tx, order_ids)).of_order(first.order.id)
        by_payment = (await Cases.of_payments(tx, [renewal.payment.id])).of_payment(renewal.payment.id)
        assert by_payment
        subscription_id = by_payment.root_id
        by_subscription = (await Cases.of_subscriptions(tx, [subscription_id])).of_subscription(
            subscription_id
        )
        return [by_order, by_payment, by_subscription]

    by_order, by_payment, by_subscription = await phases.commit(look, first.order.id)
    assert by_order
    assert by_payment
    assert by_order.open_order
    assert by_order.open_order == by_payment.open_order
    assert by_order.orders.keys() == {first.order.id, by_order.open_order.id}
    assert by_order.payments.keys() == {first.payment.id, renewal.payment.id}
    assert by_order.entitlements.keys() == {first.order.id}
    assert by_payment == by_subscription
    assert by_payment.orders.keys() == {by_order.open_order.id}


async def test_facts_are_numbered_by_their_subject_and_written_in_the_order_of_the_decisions(
    phases: PhaseRunner,
) -> None:
    one, other = await phases.opened(want(FILM), want(STALKER))
    before = len(await phases.events())

    async def decide(tx: Transaction, order_ids: Sequence[str]) -> list[None]:
        cases = await Cases.of_orders(tx, order_ids)
        for order_id in (*order_ids, order_ids[0]):
            case = cases.of_order(order_id)
            assert case
            order = case.orders[order_id]
            payment = next(iter(case.payments_of(order)))
            cases.keep(case.record(facts.order_expired(order), jobs.start_payment(payment, order)))
        cases.write()
        return [None] * len(order_ids)

    await phases.commit(decide, one.order.id, other.order.id)

    expired, start = "billing.order.expired", "billing.job.start_payment"
    assert (await phases.events())[before:] == [
        (one.order.id, expired, 2),
        (one.payment.id, start, None),
        (other.order.id, expired, 2),
        (other.payment.id, start, None),
        (one.order.id, expired, 3),
        (one.payment.id, start, None),
    ]
    versions = dict(await phases.rows("SELECT id, version FROM orders"))
    assert versions == {one.order.id: 3, other.order.id: 2}


async def test_an_order_of_another_case_leaves_its_place_at_once_and_one_of_none_when_it_is_written(
    phases: PhaseRunner,
) -> None:
    near, far, taker = await phases.opened(want(FILM, "ann"), want(FILM, "bob"), want(FILM, "eve"))

    async def decide(tx: Transaction, order_ids: Sequence[str]) -> list[None]:
        cases = await Cases.of_orders(tx, order_ids)
        case = cases.of_order(taker.order.id)
        assert case
        cases.keep(case.record(PlaceVacated(near.order.id), PlaceVacated(far.order.id)))
        (left,) = cases_of(cases, [near.order.id])
        assert not left.orders[near.order.id].holds
        cases.write()
        return [None] * len(order_ids)

    await phases.commit(decide, near.order.id, taker.order.id)

    rows = await phases.rows("SELECT id, holds FROM orders")
    assert dict(rows) == {near.order.id: False, far.order.id: False, taker.order.id: True}


async def test_a_method_that_two_reports_bring_gets_one_row_before_what_refers_to_it(
    phases: PhaseRunner,
) -> None:
    one, other = await phases.opened(want(FILM), want(STALKER))
    kept = MethodKept("pm_1", "ann", SavedMethodRef(provider="sandbox", method_id="sm_1"))

    async def decide(tx: Transaction, order_ids: Sequence[str]) -> list[None]:
        cases = await Cases.of_orders(tx, order_ids)
        for case in cases_of(cases, order_ids):
            (payment,) = case.payments.values()
            cases.keep(case.put(replace(payment, payment_method_id="pm_1")).record(kept))
        cases.write()
        return [None] * len(order_ids)

    await phases.commit(decide, one.order.id, other.order.id)

    assert await phases.rows("SELECT id, provider_ref FROM payment_methods") == [("pm_1", "sm_1")]
    assert await phases.value("SELECT count(*) FROM payments WHERE payment_method_id = 'pm_1'") == 2


async def test_a_case_that_only_logs_writes_nothing(phases: PhaseRunner) -> None:
    (one,) = await phases.opened(want(FILM))
    before = await phases.rows("SELECT xmin, orders FROM orders")

    async def decide(tx: Transaction, order_ids: Sequence[str]) -> list[None]:
        cases = await Cases.of_orders(tx, order_ids)
        (case,) = cases_of(cases, order_ids)
        cases.keep(case.record(LogLine("info", "looked_at", {"order_id": order_ids[0]})))
        cases.write()
        return [None]

    await phases.commit(decide, one.order.id)
    assert await phases.rows("SELECT xmin, orders FROM orders") == before
