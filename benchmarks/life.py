"""What happens to orders after their link: paid by a webhook, mailed, played, sent to Kafka, and at last purged."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from benchmarks.instant import NAME as INSTANT
from benchmarks.meter import Cost, Meter
from benchmarks.stage import Stage
from shared_lib.domain.messages import NotificationStatus
from shared_lib.domain.money import Money
from shared_lib.domain.playing import Played
from shared_lib.phases.housekeeping import purge_keys, purge_messages
from shared_lib.phases.notifications import (
    ClaimedNotification,
    ClaimNotification,
    MarkSent,
    claim_notifications,
    mark_sent,
)
from shared_lib.phases.playback import start_playback
from shared_lib.phases.records import BatchResult, delete_acknowledged
from shared_lib.phases.webhooks import Received, settle_from_webhooks
from shared_lib.providers.base import (
    EventKind,
    PaymentRef,
    PaymentSnapshot,
    PaymentState,
    ProviderEvent,
    Trust,
)
from shared_lib.runtime import Runtime
from shared_lib.settings import Environment, Settings

BATCH: Final = 16  # what gathers at a door under load
PURGE_BATCH: Final = 500
RELAY_BATCH: Final = 1000


async def afterwards(meter: Meter) -> list[Cost]:
    """The life of those orders after the link: paid by a webhook, mailed, sent to Kafka, and at last purged."""
    stage = meter.stage
    settings = Settings(
        environment=Environment.TEST,
        database_url=stage.database_url,
        providers=(INSTANT,),
        default_provider=INSTANT,
    )
    rt = await Runtime.open(settings)
    try:
        return [
            await leg(meter, rt, "its payment, by a webhook", settle_from_webhooks, webhooks(stage)),
            await mailed(meter, rt),
            await leg(meter, rt, "its play", start_playback, plays(stage)),
            await delete_sent(meter, rt),
            await leg(meter, rt, "its key, purged", purge_keys, old_keys(stage), of=PURGE_BATCH),
            await leg(meter, rt, "its message, purged", purge_messages, old_messages(stage), of=PURGE_BATCH),
        ]
    finally:
        await rt.aclose()


async def leg(
    meter: Meter, rt: Runtime, title: str, phase: Any, items: Sequence[Any], *, of: int = BATCH
) -> Cost:
    with meter.leg(title) as cost:
        cost.count = len(await in_batches(rt, phase, items, of))
    return cost


async def in_batches(rt: Runtime, phase: Any, items: Sequence[Any], of: int) -> list[Any]:
    return [answer for batch in batches(items, of) for answer in await rt.run_all(phase, batch)]


def webhooks(stage: Stage) -> list[Received]:
    with stage.db() as db:
        rows = db.execute(
            "SELECT id, order_id, provider_ref, amount_minor, currency FROM payments WHERE status = 'pending'"
        ).fetchall()
    return [Received(provider=INSTANT, event=paid(*row)) for row in rows]


def paid(payment_id: str, order_id: str, ref: str, minor: int, currency: str) -> ProviderEvent:
    return ProviderEvent(
        dedup_id=f"evt_{uuid.uuid4().hex}",
        kind=EventKind.PAYMENT,
        object_id=ref,
        trust=Trust.SIGNED,
        occurred_at=None,
        payment=PaymentSnapshot(
            ref=PaymentRef(provider=INSTANT, provider_payment_id=ref),
            state=PaymentState.SUCCEEDED,
            amount=Money(minor, currency),
            captured=Money(minor, currency),
            refunded=Money(0, currency),
            payment_id=payment_id,
            order_id=order_id,
            livemode=False,
        ),
    )


async def mailed(meter: Meter, rt: Runtime) -> Cost:
    with meter.stage.db() as db:
        rows = db.execute(
            "SELECT event_id, type, partition_key FROM outbox WHERE type = 'billing.order.paid'"
        ).fetchall()
    wanted = [ClaimNotification(event_id=id_, event_type=kind, customer_id=key) for id_, kind, key in rows]
    with meter.leg("its receipt") as cost:
        claimed = await in_batches(rt, claim_notifications, wanted, BATCH)
        ours = [one for one in claimed if isinstance(one, ClaimedNotification)]
        await in_batches(
            rt, mark_sent, [MarkSent(id=one.id, status=NotificationStatus.SENT) for one in ours], BATCH
        )
        cost.count = len(ours)
    return cost


async def delete_sent(meter: Meter, rt: Runtime) -> Cost:
    """What the relay does with a batch once the broker has it."""
    with meter.stage.db() as db:
        ids = [row[0] for row in db.execute("SELECT id FROM outbox ORDER BY id").fetchall()]
    with meter.leg("an event, deleted by the relay") as cost:
        for batch in batches(ids, RELAY_BATCH):
            await rt.run(delete_acknowledged, BatchResult(acknowledged=batch))
        cost.count = len(ids)
    return cost


def batches(items: Sequence[Any], of: int) -> list[Sequence[Any]]:
    return [items[start : start + of] for start in range(0, len(items), of)]


def plays(stage: Stage) -> list[Played]:
    """The first play of each title that was paid."""
    with stage.db() as db:
        rows = db.execute("SELECT customer_id, product_id, starts_at FROM entitlements").fetchall()
    return [
        Played(
            source="/cinema/player",
            event_id=str(uuid.uuid4()),
            customer_id=customer,
            product_id=product,
            started_at=starts_at + timedelta(seconds=1),
        )
        for customer, product, starts_at in rows
    ]


def old_keys(stage: Stage) -> list[tuple[str, str, str]]:
    """All keys, their 72 hours over."""
    with stage.db() as db:
        db.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 s'")
        db.execute("VACUUM idempotency_keys")
        rows = db.execute("SELECT customer_id, route, key FROM idempotency_keys").fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def old_messages(stage: Stage) -> list[tuple[str, str]]:
    with stage.db() as db:
        rows = db.execute("SELECT source, event_id FROM inbox WHERE status = 'done'").fetchall()
    return [(row[0], row[1]) for row in rows]
