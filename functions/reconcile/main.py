"""CloudEvent billing.tick.reconcile: finish what somebody began and could not end.

Payments and refunds that are stuck or unknown: ask the provider. Parked webhooks and plays: apply them again. Keys and messages past
their time: forget them. Orders past their time: their checkouts are closed at the provider, then they expire.
"""

from __future__ import annotations

import asyncio
from typing import Final

import functions_framework.aio
import structlog

from shared_lib.asking import ask_payment, ask_refund
from shared_lib.events import Incoming, InvalidEventError, consumer
from shared_lib.phases.claims import Claim, Claimed, ClaimedRefund, claim_payments, claim_refunds
from shared_lib.phases.housekeeping import Forget, backlog, forget
from shared_lib.phases.observations import Observed, ObservedRefund
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.playback import parked_plays, start_playback
from shared_lib.phases.refunds import settle_refunds
from shared_lib.phases.webhooks import parked
from shared_lib.providers.base import ProviderError
from shared_lib.refreshing import settle_event
from shared_lib.runtime import Runtime, runtime

BATCH_MAX: Final = 200
AT_ONCE: Final = 16

log = structlog.get_logger("boxoffice")


@functions_framework.aio.cloud_event
@consumer
async def reconcile(event: Incoming) -> None:
    if event.type != "billing.tick.reconcile":
        raise InvalidEventError(f"{event.type} is not for reconcile")
    rt = runtime()
    done = {
        "payments": await ask_about_payments(rt),
        "refunds": await ask_about_refunds(rt),
        "webhooks": await apply_parked(rt),
        "plays": await apply_parked_plays(rt),
        "forgotten": await rt.run(forget, Forget()),
    }
    log.info("reconciled", **done, **await rt.read(backlog, None))


async def ask_about_payments(rt: Runtime) -> int:
    """Payments whose time to be looked at has come, each asked about under a lease."""
    claimed = await rt.run(claim_payments, Claim(limit=BATCH_MAX))
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(one: Claimed) -> Observed:
        async with limit:
            return await ask_payment(rt, one)

    await rt.run_all(settle_payments, await asyncio.gather(*map(ask, claimed)))
    return len(claimed)


async def ask_about_refunds(rt: Runtime) -> int:
    claimed = await rt.run(claim_refunds, Claim(limit=BATCH_MAX))
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(one: ClaimedRefund) -> ObservedRefund:
        async with limit:
            return await ask_refund(rt, one)

    await rt.run_all(settle_refunds, await asyncio.gather(*map(ask, claimed)))
    return len(claimed)


async def apply_parked(rt: Runtime) -> int:
    """Webhooks that came before what they are about."""
    waiting = await rt.read(parked, BATCH_MAX)
    for one in waiting:
        provider = rt.providers.get(one.provider)
        if provider is None:
            continue  # its settings were taken away; the event stays
        try:
            await settle_event(rt, provider, one.event, again=True)
        except ProviderError as error:
            log.warning("parked_webhook_waits", provider=one.provider, code=error.code)
    return len(waiting)


async def apply_parked_plays(rt: Runtime) -> int:
    """Plays that came before the payment of what they are about."""
    waiting = await rt.read(parked_plays, BATCH_MAX)
    await rt.run_all(start_playback, waiting)
    return len(waiting)
