"""CloudEvent billing.tick.renewal, or a PingSource's: open a renewal for every due subscription, in jobs of a chunk each.

CloudEvent billing.job.charge_renewals: charge one chunk. A tick that comes twice, or a day late, charges once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import functions_framework.aio
import structlog
from pydantic import BaseModel

from shared_lib.aside import Round
from shared_lib.asking.payments import ask_payment
from shared_lib.billing.due import RenewalRequest
from shared_lib.billing.events import JobType
from shared_lib.billing.leasing import LeasedPayment, LeaseRequest
from shared_lib.billing.reports import PaymentReport
from shared_lib.contract.events import PING, Tick
from shared_lib.domain.messages import SetAsideKind
from shared_lib.events.delivered import consumer
from shared_lib.events.incoming import Consumer, Incoming, data_of, hand_over
from shared_lib.owned import beside
from shared_lib.phases.leases import lease_payments
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.renewals import open_renewals
from shared_lib.queries.due import due_subscriptions
from shared_lib.runtime import Runtime, runtime
from shared_lib.web.gated import gated

CLAIM_LIMIT: Final = 1000
CHUNKS_AT_ONCE: Final = 4  # a chunk waits before it leases its payments: a lease would expire while waiting
TICK_MAX_S: Final = 20.0  # the next tick continues where this one stopped
SETTLE_MAX: Final = 200
SETTLE_EVERY_S: Final = (
    0.1  # a crash loses at most this much of what providers answered; reconcile asks again
)

log = structlog.get_logger("boxoffice")


class ChargeRenewals(BaseModel):
    """Data of the job."""

    payment_ids: list[str]


@functions_framework.aio.http
@gated
@consumer
async def renew(event: Incoming) -> None:
    await hand_over(event, EVENTS, "renew")


async def take_tick(_: Incoming) -> None:
    await claim_all_due(runtime())


async def take_chunk(job: Incoming) -> None:
    await charge(runtime(), data_of(job, ChargeRenewals).payment_ids)


async def claim_all_due(rt: Runtime, *, limit: int = CLAIM_LIMIT) -> int:
    """Open renewals until none is due or the time is up. Returns how many payments are to be charged."""
    deadline, total = time.monotonic() + TICK_MAX_S, 0
    while time.monotonic() < deadline:
        due = await rt.read(due_subscriptions, limit)
        round_ = Round(rt, SetAsideKind.SUBSCRIPTION)
        requests = [RenewalRequest(subscription_id=one.id, providers=rt.providers.keys()) for one in due]
        opened = await round_.run(open_renewals, requests, lambda request: request.subscription_id)
        await round_.done(due)
        total += sum(1 for one in opened if one.payment_id)
        if len(due) < limit or not any(one.looked_at for one in opened):
            break
    log.info("renewals_claimed", payments=total)
    return total


async def charge(rt: Runtime, payment_ids: Sequence[str]) -> None:
    """Charge one chunk, with as many charges in flight as the provider allows; settle the answers in batches."""
    async with rt.keep("chunks", lambda: asyncio.Semaphore(CHUNKS_AT_ONCE)):
        round_ = Round(rt, SetAsideKind.PAYMENT)
        requests = [LeaseRequest(id=payment_id, providers=rt.providers.keys()) for payment_id in payment_ids]
        leased = await round_.run(lease_payments, requests, lambda request: request.id)
        async for reports in in_batches(rt, [one for one in leased if one]):
            await round_.run(settle_payments, reports, lambda report: report.payment_id)


async def in_batches(rt: Runtime, leased: Sequence[LeasedPayment]) -> AsyncIterator[list[PaymentReport]]:
    """The providers' answers, in batches that end by size or by age."""
    async with beside(*(ask(rt, one) for one in leased)) as tasks:
        asking = set(tasks)
        while asking:
            done, asking = await asyncio.wait(asking, timeout=SETTLE_EVERY_S)
            reports = [task.result() for task in done]
            for start in range(0, len(reports), SETTLE_MAX):
                yield reports[start : start + SETTLE_MAX]


async def ask(rt: Runtime, leased: LeasedPayment) -> PaymentReport:
    """Charge one payment, within the provider's limit of calls in flight for all chunks of this process."""
    provider = rt.providers[leased.payment.provider]
    limit = rt.keep(
        f"limit:{provider.name}", lambda: asyncio.Semaphore(provider.capabilities.max_concurrency)
    )
    async with limit:
        return await ask_payment(rt, leased)


EVENTS: Final[Mapping[str, Consumer]] = {
    Tick.RENEWAL: take_tick,
    PING: take_tick,
    JobType.CHARGE_RENEWALS: take_chunk,
}
