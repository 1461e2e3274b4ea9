"""Notifications: claimed once per event and customer, so that no customer is meant to get the same mail twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic_core import to_json

from shared_lib.billing.events import JOBS, Event, JobType
from shared_lib.domain.errors import Code, Refusal
from shared_lib.domain.messages import AutoRenewChange, NotificationStatus
from shared_lib.domain.subscription import Subscription
from shared_lib.domain.values import Value, field, replace
from shared_lib.ids import new_id
from shared_lib.store import outbox
from shared_lib.store.rows import LOCK, SUBSCRIPTIONS
from shared_lib.store.transaction import Transaction

LEASE = timedelta(seconds=30)

# The pause after so many attempts. The last one is repeated.
SEND_AGAIN_AFTER: Final = tuple(timedelta(seconds=s) for s in (2, 10, 30, 120, 300, 900))
# A mail that is still unsent after this time is given up; doctor shows it.
GIVEN_UP_AFTER: Final = timedelta(days=3)

_BUSY = Refusal(Code.UNAVAILABLE, "Another process is sending this notification.", retry_after_s=5)


Address = tuple[str, str]
"""Of a notification: the id of its event, and its customer."""


class ClaimNotification(Value, kw_only=True):
    """One event that is mailed to a customer. With `change`: only if that one stands and was not mailed yet.

    `data` of the event is kept with the notification, so that an operator can have it mailed again.
    """

    event_id: str
    event_type: str
    customer_id: str
    data: Mapping[str, Any] = field(default_factory=dict)
    change: AutoRenewChange | None = None

    @property
    def address(self) -> Address:
        return self.event_id, self.customer_id


class ClaimedNotification(Value, kw_only=True):
    """Ours to send. `email` is None when the customer left no address."""

    id: str
    customer_id: str
    email: str | None
    locale: str
    attempts: int
    created_at: datetime


class SendAgain(Value, kw_only=True):
    """What the job needs to send a notification another time: the event it is about."""

    claimed: ClaimedNotification
    event_id: str
    event_type: str
    data: Mapping[str, Any]
    trace: str | None = None


class MarkSent(Value, kw_only=True):
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
    and waits for an operator instead of being sent twice.
    """
    settled = await _settled_changes(tx, [want for want in wanted if want.change])
    by_address = {want.address: want for want in wanted if not want.change or want.address in settled}
    ids = {address: new_id("ntf") for address in by_address}
    ordered = [by_address[address] for address in sorted(ids)]
    rows = await tx.fetch(
        """
        INSERT INTO notifications (id, event_id, event_type, customer_id, status, attempts, locked_until, created_at, data)
        SELECT id, event_id, event_type, customer_id, 'sending', 1, %s, %s, data::jsonb
        FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
            AS new (id, event_id, event_type, customer_id, data)
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
            [ids[want.address] for want in ordered],
            [want.event_id for want in ordered],
            [want.event_type for want in ordered],
            [want.customer_id for want in ordered],
            [to_json(want.data).decode() for want in ordered],
            tx.now,
        ],
    )
    claimed: dict[Address, ClaimedNotification] = {}
    lost: set[Address] = set()
    customers = await _customers(tx, [customer_id for _, customer_id, *_ in rows])
    for event_id, customer_id, id_, status, attempts, created_at in rows:
        if status == NotificationStatus.UNKNOWN:
            lost.add((event_id, customer_id))
            continue
        email, locale = customers.get(customer_id, (None, "en"))
        claimed[event_id, customer_id] = ClaimedNotification(
            id=id_,
            customer_id=customer_id,
            email=email,
            locale=locale,
            attempts=attempts,
            created_at=created_at,
        )
    busy = await _busy(tx, [want for want in ordered if want.address not in claimed.keys() | lost])
    return [
        # The same event twice in one batch is claimed once.
        claimed.pop(want.address, None) or (_BUSY if want.address in busy else None)
        for want in wanted
    ]


async def _settled_changes(tx: Transaction, wanted: Sequence[ClaimNotification]) -> set[Address]:
    """Those whose change is to be mailed, or had its notification claimed before.

    What the mail will say is noted with the claim, under the subscription's lock. A mail that then fails for good counts
    as sent: the next change is mailed even if it leads back.
    """
    if not wanted:
        return set()
    changes = [want.change for want in wanted if want.change]
    asked = await SUBSCRIPTIONS.ask(tx, LOCK, sorted({change.subscription_id for change in changes}))
    rows = await tx.ask(
        "SELECT event_id, customer_id FROM notifications"
        " WHERE (event_id, customer_id) IN (SELECT * FROM unnest(%b::text[], %b::text[]))",
        [[want.event_id for want in wanted], [want.customer_id for want in wanted]],
    )
    subscriptions = {subscription.id: subscription for subscription in await asked.values()}
    claimed_before = {(event_id, customer_id) for event_id, customer_id in await rows.rows()}
    settled: set[Address] = set()
    mailed: dict[str, Subscription] = {}
    for want, change in zip(wanted, changes, strict=True):
        found = subscriptions.get(change.subscription_id)
        if want.address in claimed_before:
            settled.add(want.address)
        elif found and found.stands(change.number, tx.now) and found.auto_renew is not found.auto_renew_told:
            settled.add(want.address)
            mailed[found.id] = found
            subscriptions[found.id] = replace(found, auto_renew_told=found.auto_renew)
    SUBSCRIPTIONS.update(tx, [(mailed[id_], subscriptions[id_]) for id_ in sorted(mailed)])
    return settled


async def _busy(tx: Transaction, wanted: Sequence[ClaimNotification]) -> set[Address]:
    if not wanted:
        return set()
    rows = await tx.fetch(
        """
        SELECT event_id, customer_id FROM notifications
        WHERE (event_id, customer_id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND status = 'sending'
        """,
        [[want.event_id for want in wanted], [want.customer_id for want in wanted]],
    )
    return {(event_id, customer_id) for event_id, customer_id in rows}


async def _customers(tx: Transaction, ids: Sequence[str]) -> dict[str, tuple[str | None, str]]:
    """The address and the locale of each customer."""
    rows = await tx.fetch("SELECT id, email, locale FROM customers WHERE id = ANY(%s)", [list(ids)])
    return {id_: (email, locale) for id_, email, locale in rows}


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
        type=JobType.SEND_NOTIFICATION,
        subject=again.claimed.id,
        partition_key=again.claimed.customer_id,
        data={"event_id": again.event_id, "event_type": again.event_type, "data": again.data},
        available_at=tx.now + wait,
        traceparent=again.trace,
    )
