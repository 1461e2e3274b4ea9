"""CloudEvent billing.tick.reconcile, or a PingSource's: finish what another call has begun and could not finish.

Stuck or unknown payments and refunds: ask the provider. Parked webhooks and plays: apply them again. Expired keys, old
messages, mails, dead letters and notes of repairs: delete them. Expired orders: close their checkouts at the provider, then expire them. A tick whose subject is the id of a
payment or refund asks about that one alone.

A bad row stops no other row, and a stage that fails stops no other stage. A stage continues while its batches are full, for at
most TICK_MAX_S: a cluster's clock ticks once a minute, and one batch a minute would be too slow for a large cinema.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import structlog

from shared_lib.aside import Round, reason_of
from shared_lib.asking.now import ask_now, may_be_asked_about
from shared_lib.asking.payments import ASK_S, ask_payment, ask_refund
from shared_lib.asking.webhooks import settle_event
from shared_lib.billing.leasing import LeasedPayment, LeasedRefund, LeaseRequest
from shared_lib.billing.reports import PaymentReport, RefundReport
from shared_lib.contract.events import PING, Tick
from shared_lib.domain.errors import Transient
from shared_lib.domain.messages import SetAside, SetAsideKind
from shared_lib.events.delivered import consumer
from shared_lib.events.incoming import Consumer, Incoming, hand_over
from shared_lib.phases.housekeeping import (
    purge_keys,
    purge_letters,
    purge_mails,
    purge_messages,
    purge_repairs,
)
from shared_lib.phases.leases import lease_payments, lease_refunds
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.playback import start_playback
from shared_lib.phases.refunds import settle_refunds
from shared_lib.phases.undecided import purge_decided
from shared_lib.phases.webhooks import put_off_webhooks
from shared_lib.providers.base import ProviderError
from shared_lib.queries.due import (
    Parked,
    due_payments,
    due_refunds,
    parked,
    parked_plays,
)
from shared_lib.queries.health import backlog
from shared_lib.queries.past import Past, expired_keys, old_letters, old_mails, old_messages, old_repairs
from shared_lib.runtime import Runtime, runtime
from shared_lib.store.batch import Failed
from shared_lib.store.transaction import Transaction
from shared_lib.web import framework
from shared_lib.web.gated import gated

BATCH_MAX: Final = 200
AT_ONCE: Final = 16
PURGE_MAX: Final = 5000
TICK_MAX_S: Final = 20.0  # no batch begins later; the next tick continues where this one stopped

Row = TypeVar("Row")

log = structlog.get_logger("boxoffice")


@framework.http
@gated
@consumer
async def reconcile(event: Incoming) -> None:
    await hand_over(event, EVENTS, "reconcile")


async def take_tick(event: Incoming) -> None:
    rt = runtime()
    if event.subject and may_be_asked_about(event.subject):  # an operator's tick, see `boxoffice ask`
        await ask_now(rt, event.subject)
        return
    deadline = time.monotonic() + TICK_MAX_S
    done = {name: await attempted(name, stage, rt, deadline) for name, stage in STAGES.items()}
    log.info("reconciled", **done, **await rt.read(backlog, None))


async def attempted(name: str, stage: Stage, rt: Runtime, deadline: float) -> int | None:
    """How many rows the stage handled; None when it failed. The next tick tries again.

    A batch that is less than half full ends the stage: rows that were due and not done, because another tick leased them or
    they were set aside, would be found again at once.
    """
    total = 0
    try:
        while True:
            done = await stage.work(rt)
            total += done
            if 2 * done < stage.batch_max or time.monotonic() >= deadline:
                return total
    except Transient:
        raise  # the database is unreachable: the other stages would fail too
    except Exception:
        log.exception("stage_failed", stage=name)
        return None


async def ask_about_payments(rt: Runtime) -> int:
    """Payments that are due for a check: lease each, ask its provider, settle the answer."""
    due = await rt.read(due_payments, BATCH_MAX)
    round_ = Round(rt, SetAsideKind.PAYMENT)
    requests = [LeaseRequest(id=one.id, providers=rt.providers.keys()) for one in due]
    leased = [one for one in await round_.run(lease_payments, requests, lambda request: request.id) if one]
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(one: LeasedPayment) -> PaymentReport:
        async with limit:
            return await ask_payment(rt, one)

    reports = await asyncio.gather(*map(ask, leased))
    await round_.run(settle_payments, reports, lambda report: report.payment_id)
    await round_.done(due)
    return len(leased)


async def ask_about_refunds(rt: Runtime) -> int:
    due = await rt.read(due_refunds, BATCH_MAX)
    round_ = Round(rt, SetAsideKind.REFUND)
    requests = [LeaseRequest(id=one.id, providers=rt.providers.keys()) for one in due]
    leased = [one for one in await round_.run(lease_refunds, requests, lambda request: request.id) if one]
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(one: LeasedRefund) -> RefundReport:
        async with limit:
            return await ask_refund(rt, one)

    reports = await asyncio.gather(*map(ask, leased))
    await round_.run(settle_refunds, reports, lambda report: report.refund_id)
    await round_.done(due)
    return len(leased)


async def apply_parked(rt: Runtime) -> int:
    """Webhooks that came before the payment or refund they report."""
    waiting = await rt.read(parked, BATCH_MAX)
    round_ = Round(rt, SetAsideKind.MESSAGE)
    limit = asyncio.Semaphore(AT_ONCE)

    async def apply(one: Parked) -> SetAside | None:
        async with limit:
            return await applied(rt, one)

    culprits = await asyncio.gather(*map(apply, waiting))
    await round_.set_aside([culprit for culprit in culprits if culprit])
    await round_.done(one.due for one in waiting)
    return len(waiting)


async def applied(rt: Runtime, one: Parked) -> SetAside | None:
    """Apply one parked event again. Returns why it must be set aside, or None."""
    provider = rt.providers.get(one.provider)
    if provider is None:
        return one.aside(f"the provider {one.provider} is not configured")
    if one.event is None:
        return one.aside(one.unreadable)
    try:
        async with asyncio.timeout(ASK_S):
            await settle_event(rt, provider, one.event, again=True)
    except (ProviderError, TimeoutError) as error:
        code = error.code if isinstance(error, ProviderError) else "timeout"
        log.warning("parked_webhook_waits", provider=one.provider, code=code)
        await rt.run(put_off_webhooks, (one.provider, one.event_id))
    except Transient:
        raise
    except Exception as error:  # noqa: BLE001  # any other error concerns this event alone
        return one.aside(reason_of(error))
    return None


async def apply_parked_plays(rt: Runtime) -> int:
    """Plays that came before the payment of their title."""
    waiting = await rt.read(parked_plays, BATCH_MAX)
    round_ = Round(rt, SetAsideKind.MESSAGE)
    unreadable = "the kept play cannot be read"
    await round_.set_aside(
        [
            SetAside(kind=SetAsideKind.MESSAGE, id=due.id, reason=unreadable)
            for due, play in waiting
            if not play
        ]
    )
    ids = {play: due.id for due, play in waiting if play}
    await round_.run(start_playback, list(ids), lambda play: ids[play])
    await round_.done(due for due, _ in waiting)
    return len(waiting)


async def purge_expired(rt: Runtime) -> int:
    """Delete keys after 72 hours, messages that are done, and the set-aside notes of rows decided since."""
    await rt.run(purge_decided, None)
    keys = await purged(rt, purge_keys, await rt.read(expired_keys, PURGE_MAX))
    return keys + await purged(
        rt, purge_messages, await rt.read(old_messages, past(rt.settings.keep_messages_days))
    )


async def purge_old_mails(rt: Runtime) -> int:
    return await purged(rt, purge_mails, await rt.read(old_mails, past(rt.settings.keep_mails_days)))


async def purge_old_letters(rt: Runtime) -> int:
    return await purged(
        rt, purge_letters, await rt.read(old_letters, past(rt.settings.keep_dead_letters_days))
    )


async def purge_old_repairs(rt: Runtime) -> int:
    return await purged(rt, purge_repairs, await rt.read(old_repairs, past(rt.settings.keep_repairs_days)))


def past(days: int) -> Past:
    return Past(days=days, limit=PURGE_MAX)


async def purged(
    rt: Runtime, phase: Callable[[Transaction, Sequence[Row]], Awaitable[Sequence[None]]], rows: Sequence[Row]
) -> int:
    """Delete these rows in batches; one that cannot be deleted stays and stops no other. Returns how many are gone."""
    return sum(1 for answer in await rt.run_each(phase, rows) if not isinstance(answer, Failed))


class Stage(NamedTuple):
    """`work` handles one batch of at most `batch_max` rows and returns how many it handled."""

    work: Callable[[Runtime], Awaitable[int]]
    batch_max: int


STAGES: Final[Mapping[str, Stage]] = MappingProxyType(
    {
        "payments": Stage(ask_about_payments, BATCH_MAX),
        "refunds": Stage(ask_about_refunds, BATCH_MAX),
        "webhooks": Stage(apply_parked, BATCH_MAX),
        "plays": Stage(apply_parked_plays, BATCH_MAX),
        "forgotten": Stage(purge_expired, PURGE_MAX),
        "old_mails": Stage(purge_old_mails, PURGE_MAX),
        "old_letters": Stage(purge_old_letters, PURGE_MAX),
        "old_repairs": Stage(purge_old_repairs, PURGE_MAX),
    }
)
EVENTS: Final[Mapping[str, Consumer]] = {Tick.RECONCILE: take_tick, PING: take_tick}
