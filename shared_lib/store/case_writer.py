"""Cases to the store: what became of the cases of a batch, and what their journals want beside, written together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from shared_lib.billing.case import Case, LogLine, MethodDisabled, MethodKept, TrialReleased
from shared_lib.billing.events import FACTS, Event
from shared_lib.domain.ledger import LedgerEntry
from shared_lib.domain.order import Order, place_of
from shared_lib.domain.subscription import Subscription
from shared_lib.domain.values import replace
from shared_lib.store import ledger, methods, outbox, trials
from shared_lib.store.codec import Codec
from shared_lib.store.rows import ENTITLEMENTS, ORDERS, PAYMENTS, REFUNDS, SUBSCRIPTIONS, vacate
from shared_lib.store.transaction import Transaction

log = structlog.get_logger(__name__)

Subject = TypeVar("Subject", Order, Subscription)
Note = MethodKept | MethodDisabled | TrialReleased | LogLine


@dataclass(slots=True)
class Journal:
    """The records of all cases of a batch, in the order of the decisions."""

    events: list[Event] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    vacated: set[str] = field(default_factory=set)  # orders of no case of the batch


def write_cases(tx: Transaction, cases: Sequence[Case], stored: Mapping[str, Any], journal: Journal) -> None:
    """Queue every difference to the values that are `stored`, by id: roots first, changed rows before new ones."""
    _note(tx, journal.notes)
    subscriptions = [case.subscription for case in cases if case.subscription]
    orders = [order for case in cases for order in case.orders.values()]
    payments = [payment for case in cases for payment in case.payments.values()]
    versions = {one.id: one.version for one in subscriptions} | {one.id: one.version for one in orders}
    events, counted = _numbered(journal.events, versions)
    _write(tx, SUBSCRIPTIONS, stored, [_counted(one, counted) for one in subscriptions])
    vacate(tx, sorted(journal.vacated))
    # An order that leaves its place is written before the one that takes it, in the order of places: two batches
    # that want the same ones wait for each other instead of deadlocking.
    orders = [_counted(order, counted) for order in orders]
    _write(tx, ORDERS, stored, [order for order in orders if not order.holds])
    _write(tx, ORDERS, stored, sorted((order for order in orders if order.holds), key=place_of))
    # A payment that becomes surplus leaves the place that another one of its order may take.
    _write(tx, PAYMENTS, stored, [payment for payment in payments if payment.surplus])
    _write(tx, PAYMENTS, stored, [payment for payment in payments if not payment.surplus])
    _write(tx, REFUNDS, stored, [refund for case in cases for refund in case.refunds.values()])
    _write(tx, ENTITLEMENTS, stored, [one for case in cases for one in case.entitlements.values()])
    ledger.post(tx, journal.entries)
    outbox.publish(tx, events)


def _write(tx: Transaction, codec: Codec[Any], stored: Mapping[str, Any], values: Sequence[Any]) -> None:
    """Updates before inserts: free a unique slot before it is reused."""
    new: list[Any] = []
    changed: list[tuple[Any, Any]] = []
    for value in values:
        before = stored.get(value.id)
        if before is None:
            new.append(value)
        elif before is not value:
            changed.append((before, value))
    codec.update(tx, changed)
    codec.insert(tx, new)


def _note(tx: Transaction, notes: Sequence[Note]) -> None:
    """What the journals want besides rows of cases. A kept method has its row before anything refers to it."""
    kept: set[str] = set()
    for record in notes:
        match record:
            case MethodKept(id=method_id, customer_id=customer_id, method=method):
                if method_id not in kept:
                    kept.add(method_id)
                    methods.keep_method(tx, method_id, customer_id, method)
            case MethodDisabled(id=method_id):
                methods.disable_method(tx, method_id)
            case TrialReleased(order_id=order_id):
                trials.release_trial(tx, order_id)
            case LogLine(level=level, event=event, fields=fields):
                getattr(log, level)(event, **fields)


def _numbered(events: Sequence[Event], versions: Mapping[str, int]) -> tuple[list[Event], Mapping[str, int]]:
    """The events, and the new version of each subject: it numbers the subject's facts, and is written once."""
    numbered: list[Event] = []
    counted: dict[str, int] = {}
    for event in events:
        type_, subject, partition_key, data, sequence, topic, traceparent, available_at = event
        if topic == FACTS:
            sequence = counted[subject] = counted.get(subject, versions[subject]) + 1
        numbered.append(
            Event(type_, subject, partition_key, data, sequence, topic, traceparent, available_at)
        )
    return numbered, counted


def _counted(subject: Subject, counted: Mapping[str, int]) -> Subject:
    """With its new version, if facts were written about it."""
    version = counted.get(subject.id)
    return subject if version is None else replace(subject, version=version)
