"""Webhooks: taken once, believed because they are signed, kept when we do not know yet what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from shared_lib.billing.adoption import settle_found
from shared_lib.billing.context import SettlementContext
from shared_lib.billing.payments import settle
from shared_lib.billing.reports import PaymentReport, RefundSnapshot
from shared_lib.domain.values import Value
from shared_lib.providers import kept
from shared_lib.providers.base import EventKind, ProviderEvent
from shared_lib.store import inbox, methods
from shared_lib.store.cases import Cases
from shared_lib.store.context import read_context
from shared_lib.store.transaction import Transaction

TRY_AGAIN: Final = tuple(timedelta(seconds=s) for s in (1, 2, 5, 15, 60, 300))
# After this an operator looks: money was taken in our name that no order of ours asked for.
ORPHANED_AFTER: Final = timedelta(days=1)

Address = tuple[str, str]
"""Of an event in the inbox: its provider, and the id by which it is taken once."""


class WebhookResult(StrEnum):
    SETTLED = "settled"
    DUPLICATE = "duplicate"
    PARKED = "parked"  # about something we do not know (yet): kept, and applied again by reconcile
    CONTRADICTION = "contradiction"  # ask the provider before believing
    IGNORED = "ignored"  # authentic, and nothing to us


class Received(Value, kw_only=True):
    """One verified event. `again`: it is parked in the inbox already and is tried once more.

    `asked`: its content was fetched just now. `other_mode`: it is of play money where money is real, or the reverse.
    """

    provider: str
    event: ProviderEvent
    again: bool = False
    asked: bool = False
    other_mode: bool = False

    @property
    def address(self) -> Address:
        return self.provider, self.event.dedup_id


# ---- settle --------------------------------------------------------------------------------------------------


async def settle_from_webhooks(tx: Transaction, received: Sequence[Received]) -> list[WebhookResult]:
    """Record what providers reported. The event id and its effect are committed together, so both happen once."""
    payments = await _payments(tx, received)
    refunded = await _refunded(tx, received)
    about = {**refunded, **payments}
    taken = await _take(tx, received, about)
    cases = await Cases.of_payments(tx, {*payments.values(), *refunded.values()})
    reports = _reports(received, payments)
    context = await read_context(tx, cases, list(reports.values()))
    results: list[WebhookResult] = []
    for item in received:
        address = item.address
        if address not in taken:
            results.append(WebhookResult.DUPLICATE)
            continue
        taken.discard(address)  # the same event twice in one batch
        result, context = _settle(
            tx, cases, context, item, report=reports.get(address), refunded=refunded.get(address)
        )
        results.append(result)
    cases.write()
    _note(tx, received, results, about)
    return results


async def _take(tx: Transaction, received: Sequence[Received], about: Mapping[Address, str]) -> set[Address]:
    """The addresses of those events that are ours to settle."""
    taken = await inbox.take(tx, [item.address for item in received if not item.again], about)
    again = [item.address for item in received if item.again]
    if again:
        rows = await tx.fetch(
            """
            SELECT source, event_id FROM inbox
            WHERE (source, event_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND status = 'parked'
            ORDER BY source, event_id FOR UPDATE
            """,
            [[source for source, _ in again], [event_id for _, event_id in again]],
        )
        taken |= {(source, event_id) for source, event_id in rows}
    return taken


async def _payments(tx: Transaction, received: Sequence[Received]) -> dict[Address, str]:
    """Our payment of each event: by the provider's own id, else by the id in its metadata."""
    about = [(item, snapshot) for item in received if (snapshot := item.event.payment)]
    if not about:
        return {}
    rows = await tx.fetch(
        """
        SELECT asked.source, asked.event_id, p.id
        FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[]) AS asked (source, event_id, ours, theirs)
        JOIN payments p ON p.id = asked.ours OR (p.provider = asked.source AND p.provider_ref = asked.theirs)
        ORDER BY p.provider = asked.source AND p.provider_ref IS NOT DISTINCT FROM asked.theirs
        """,
        [
            [item.provider for item, _ in about],
            [item.event.dedup_id for item, _ in about],
            [snapshot.payment_id for _, snapshot in about],
            [snapshot.ref.provider_payment_id for _, snapshot in about],
        ],
    )
    return {(source, event_id): payment_id for source, event_id, payment_id in rows}  # the last one wins


async def _refunded(tx: Transaction, received: Sequence[Received]) -> dict[Address, str]:
    """Our payment that each refund returns. The refund's own row may not exist: it was not made by us."""
    about = [(item, snapshot) for item in received if (snapshot := item.event.refund)]
    if not about:
        return {}
    rows = await tx.fetch(
        """
        SELECT asked.source, asked.event_id, p.id
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS asked (source, event_id, theirs)
        JOIN payments p ON p.provider = asked.source AND p.provider_ref = asked.theirs
        """,
        [
            [item.provider for item, _ in about],
            [item.event.dedup_id for item, _ in about],
            [snapshot.payment.provider_payment_id for _, snapshot in about],
        ],
    )
    return {(source, event_id): payment_id for source, event_id, payment_id in rows}


def _reports(
    received: Sequence[Received], payments: Mapping[Address, str]
) -> Mapping[Address, PaymentReport]:
    return {
        item.address: PaymentReport(
            payment_id=payments[item.address], outcome=item.event.payment, asked=item.asked
        )
        for item in received
        if item.event.payment and item.address in payments
    }


def _settle(
    tx: Transaction,
    cases: Cases,
    context: SettlementContext,
    item: Received,
    *,
    report: PaymentReport | None,
    refunded: str | None,
) -> tuple[WebhookResult, SettlementContext]:
    """`report`: of the event's payment. `refunded`: our payment that the event's refund returns."""
    event = item.event
    if item.other_mode:
        return WebhookResult.PARKED, context
    if event.payment and event.kind is EventKind.PAYMENT:
        return _settle_payment(cases, context, report) if report else (WebhookResult.PARKED, context)
    if event.refund:
        if report:  # its payment came with it
            _, context = _settle_payment(cases, context, report)
        return _settle_refund(cases, event.refund, refunded, asked=item.asked), context
    return _settle_method(tx, item), context


def _settle_payment(
    cases: Cases, context: SettlementContext, report: PaymentReport
) -> tuple[WebhookResult, SettlementContext]:
    case = cases.of_payment(report.payment_id)
    assert case is not None
    settled = settle(case, report, context)
    cases.keep(settled.case)
    return _result(agrees=not settled.alarm), context.learn(case, settled.case)


def _settle_method(tx: Transaction, item: Received) -> WebhookResult:
    """A change of a saved method; any other event is about nothing of ours."""
    event = item.event
    if event.kind is not EventKind.METHOD:
        return WebhookResult.IGNORED
    if event.method_gone:
        methods.mark_deleted(tx, item.provider, event.object_id)
    elif event.method:
        methods.update_card(tx, item.provider, event.method)
    return WebhookResult.SETTLED


def _settle_refund(
    cases: Cases, snapshot: RefundSnapshot, refunded: str | None, *, asked: bool
) -> WebhookResult:
    if refunded is None:
        return WebhookResult.PARKED
    case = cases.of_payment(refunded)
    assert case is not None
    case, agrees = settle_found(case, case.payments[refunded], snapshot, asked=asked)
    cases.keep(case)
    return _result(agrees=agrees)


def _result(*, agrees: bool) -> WebhookResult:
    return WebhookResult.SETTLED if agrees else WebhookResult.CONTRADICTION


def _note(
    tx: Transaction,
    received: Sequence[Received],
    results: Sequence[WebhookResult],
    about: Mapping[Address, str],
) -> None:
    """Parked and contradicting events keep their content; what was parked and is settled now is done."""
    for item, result in zip(received, results, strict=True):
        match result:
            case WebhookResult.PARKED | WebhookResult.CONTRADICTION:
                tx.later(
                    """
                    UPDATE inbox SET payload = %s, attempts = attempts + 1,
                        status = CASE WHEN received_at < %s THEN 'orphaned' ELSE 'parked' END,
                        next_try_at = %s + (%s::interval[])[least(attempts + 1, %s)]
                    WHERE source = %s AND event_id = %s
                    """,
                    [
                        kept.written(item.event),
                        tx.now - ORPHANED_AFTER,
                        tx.now,
                        list(TRY_AGAIN),
                        len(TRY_AGAIN),
                        *item.address,
                    ],
                )
            case WebhookResult.SETTLED | WebhookResult.IGNORED if item.again:
                tx.later(
                    "UPDATE inbox SET status = 'done', payload = NULL, next_try_at = NULL, about = %s"
                    " WHERE source = %s AND event_id = %s",
                    [about.get(item.address), *item.address],
                )
            case _:
                pass


# ---- keep ----------------------------------------------------------------------------------------------------


async def put_off_webhooks(tx: Transaction, addresses: Sequence[Address]) -> list[None]:
    """Their provider must be asked and does not answer: these parked events are tried again later."""
    tx.later(
        """
        UPDATE inbox SET attempts = attempts + 1, next_try_at = %s + (%s::interval[])[least(attempts + 1, %s)]
        WHERE (source, event_id) IN (SELECT * FROM unnest(%s::text[], %s::text[])) AND status = 'parked'
        """,
        [
            await tx.clock(),
            list(TRY_AGAIN),
            len(TRY_AGAIN),
            [source for source, _ in addresses],
            [event_id for _, event_id in addresses],
        ],
    )
    return [None] * len(addresses)


async def park_webhooks(tx: Transaction, received: Sequence[Received]) -> list[None]:
    """Keep events that could not be settled. One that was taken before stays as it is."""
    now = await tx.clock()
    for item in received:
        tx.later(
            """
            INSERT INTO inbox (source, event_id, status, payload, attempts, received_at, next_try_at)
            VALUES (%s, %s, 'parked', %s, 1, %s, %s) ON CONFLICT DO NOTHING
            """,
            [*item.address, kept.written(item.event), now, now + TRY_AGAIN[0]],
        )
    return [None] * len(received)
