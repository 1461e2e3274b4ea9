"""Notifications: claimed once per event and customer, so that nobody is told the same thing twice on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.messages import NotificationStatus
from shared_lib.domain.subscription import Subscription
from shared_lib.domain.values import replace
from shared_lib.ids import new_id
from shared_lib.store import outbox
from shared_lib.store.outbox import JOBS, Event
from shared_lib.store.rows.subscriptions import SUBSCRIPTIONS, lock_subscriptions, subscription_row
from shared_lib.store.transaction import Transaction

LEASE = timedelta(seconds=30)

SEND_AGAIN: Final = "billing.job.send_notification"
# The pause after so many attempts. The last one is repeated.
SEND_AGAIN_AFTER: Final = tuple(timedelta(seconds=s) for s in (2, 10, 30, 120, 300, 900))
# A mail that is still unsent after this time is given up; doctor shows it.
GIVEN_UP_AFTER: Final = timedelta(days=3)

_BUSY = Refusal(Code.UNAVAILABLE, "Somebody else is sending this notification.", retry_after_s=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRenewChange:
    """The customer's change of a subscription's auto_renew, counted from 1."""

    subscription_id: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNotification:
    """One event a customer should hear of. With `change`: only if that one stands and was not mailed yet."""

    event_id: str
    event_type: str
    customer_id: str
    change: AutoRenewChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedNotification:
    """Ours to send. `email` is None when the customer left no address."""

    id: str
    customer_id: str
    email: str | None
    locale: str
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAgain:
    """What the job needs to send a notification another time: the event it is about."""

    claimed: ClaimedNotification
    event_id: str
    event_type: str
    data: Mapping[str, Any]
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSent:
    """What became of a notification we had claimed."""

    id: str
    status: NotificationStatus
    detail: str | None = None
    again: SendAgain | None = None  # when it surely did not leave


async def claim_notifications(
    tx: Transaction, wanted: Sequence[ClaimNotification]
) -> list[ClaimedNotification | Refusal | None]:
    """Claim each event's notification. None: it was sent already, or may have been, and is not sent again.

    None also for a change of auto_renew that a newer one followed, or that leads back to what the last mail said.
    A claim whose owner died is `sending` with a lease that is over: the mail may have left, so it becomes `unknown`
    and waits for a human instead of being sent twice.
    """
    settled = await _settled_changes(tx, [want for want in wanted if want.change])
    by_address = {(w.event_id, w.customer_id): w for w in wanted if w.change is None or w in settled}
    ids = {address: new_id("ntf") for address in by_address}
    ordered = [by_address[address] for address in sorted(ids)]
    rows = await tx.fetch(
        """
        INSERT INTO notifications (id, event_id, event_type, customer_id, status, attempts, locked_until, created_at)
        SELECT id, event_id, event_type, customer_id, 'sending', 1, %s, %s
        FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[]) AS new (id, event_id, event_type, customer_id)
        ON CONFLICT (event_id, customer_id) DO UPDATE SET
            status = CASE WHEN notifications.status = 'failed' THEN 'sending' ELSE 'unknown' END,
            attempts = notifications.attempts + 1, locked_until = EXCLUDED.locked_until
        WHERE notifications.status = 'failed'
           OR (notifications.status = 'sending' AND notifications.locked_until <= %s)
        RETURNING event_id, customer_id, id, status, attempts, created_at
        """,
        [
            await tx.clock() + LEASE,
            tx.now,
            [ids[want.event_id, want.customer_id] for want in ordered],
            [want.event_id for want in ordered],
            [want.event_type for want in ordered],
            [want.customer_id for want in ordered],
            tx.now,
        ],
    )
    claimed = {(row[0], row[1]): row for row in rows if row[3] == "sending"}
    lost = {(row[0], row[1]) for row in rows if row[3] == "unknown"}
    busy = await _busy(tx, [w for w in ordered if (w.event_id, w.customer_id) not in claimed.keys() | lost])
    customers = await _addresses(tx, [customer_id for _, customer_id in claimed])
    answers: list[ClaimedNotification | Refusal | None] = []
    for want in wanted:
        address = want.event_id, want.customer_id
        if address in claimed:
            email, locale = customers.get(want.customer_id, (None, "en"))
            found = claimed.pop(address)  # the same event twice in one batch is claimed once
            answers.append(
                ClaimedNotification(
                    id=found[2],
                    customer_id=want.customer_id,
                    email=email,
                    locale=locale,
                    attempts=found[4],
                    created_at=found[5],
                )
            )
        else:
            answers.append(_BUSY if address in busy else None)
    return answers


async def _settled_changes(tx: Transaction, wanted: Sequence[ClaimNotification]) -> set[ClaimNotification]:
    """Those whose change is to be mailed, or had its notification claimed before.

    What the mail will say is noted with the claim, under the subscription's lock. A mail that then fails for good counts
    as sent: the next change is mailed even if it leads back.
    """
    if not wanted:
        return set()
    changes = [want.change for want in wanted if want.change]
    locking = await lock_subscriptions(tx, sorted({change.subscription_id for change in changes}))
    rows = await tx.ask(
        "SELECT event_id, customer_id FROM notifications"
        " WHERE (event_id, customer_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))",
        [[want.event_id for want in wanted], [want.customer_id for want in wanted]],
    )
    subscriptions = await locking.values()
    claimed_before = {(row[0], row[1]) for row in await rows.rows()}
    settled: set[ClaimNotification] = set()
    told: dict[str, Subscription] = {}
    for want, change in zip(wanted, changes, strict=True):
        found = subscriptions.get(change.subscription_id)
        if (want.event_id, want.customer_id) in claimed_before:
            settled.add(want)
        elif found and found.stands(change.number, tx.now) and found.auto_renew is not found.auto_renew_told:
            settled.add(want)
            told[found.id] = found
            subscriptions[found.id] = replace(found, auto_renew_told=found.auto_renew)
    SUBSCRIPTIONS.update(
        tx, [(subscription_row(told[id_]), subscription_row(subscriptions[id_])) for id_ in sorted(told)]
    )
    return settled


async def _busy(tx: Transaction, wanted: Sequence[ClaimNotification]) -> set[tuple[str, str]]:
    if not wanted:
        return set()
    rows = await tx.fetch(
        """
        SELECT event_id, customer_id FROM notifications
        WHERE (event_id, customer_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND status = 'sending'
        """,
        [[want.event_id for want in wanted], [want.customer_id for want in wanted]],
    )
    return {(row[0], row[1]) for row in rows}


async def _addresses(tx: Transaction, customer_ids: Sequence[str]) -> dict[str, tuple[str | None, str]]:
    rows = await tx.fetch("SELECT id, email, locale FROM customers WHERE id = ANY(%s)", [list(customer_ids)])
    return {row[0]: (row[1], row[2]) for row in rows}


async def mark_sent(tx: Transaction, marks: Sequence[MarkSent]) -> list[None]:
    """Note what became of claimed notifications. One that did not leave gets a job, until it is days old."""
    await tx.clock()
    marks = [_given_up(tx, mark) for mark in marks]
    outbox.publish(tx, [_job(tx, mark.again) for mark in marks if mark.again])
    tx.later(
        """
        UPDATE notifications n SET status = new.status, detail = new.detail,
            sent_at = CASE WHEN new.status = 'sent' THEN %s ELSE n.sent_at END
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS new (id, status, detail) WHERE n.id = new.id
        """,
        [
            tx.now,
            [mark.id for mark in marks],
            [mark.status for mark in marks],
            [mark.detail for mark in marks],
        ],
    )
    return [None] * len(marks)


def _given_up(tx: Transaction, mark: MarkSent) -> MarkSent:
    if mark.again is None or tx.now < mark.again.claimed.created_at + GIVEN_UP_AFTER:
        return mark
    return replace(mark, status=NotificationStatus.REFUSED, detail=f"given up: {mark.detail}", again=None)


def _job(tx: Transaction, again: SendAgain) -> Event:
    """In the outbox, where it waits for its time: neither the relay's patience nor a trigger's is used up."""
    wait = SEND_AGAIN_AFTER[min(again.claimed.attempts, len(SEND_AGAIN_AFTER)) - 1]
    return Event(
        topic=JOBS,
        type=SEND_AGAIN,
        subject=again.claimed.id,
        partition_key=again.claimed.customer_id,
        data={"event_id": again.event_id, "event_type": again.event_type, "data": again.data},
        available_at=tx.now + wait,
        traceparent=again.trace,
    )
