"""CloudEvent billing.tick.renewal, or a PingSource's: renew every subscription that is due, chunk by chunk: open, charge, settle.

CloudEvent billing.job.charge_renewals: another instance has more due than it takes at once, so this one works too. A tick that
comes twice, or a day late, charges once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import structlog
from pydantic import BaseModel

from shared_lib.aside import Round
from shared_lib.asking.payments import ask_payment
from shared_lib.billing.due import RenewalRequest
from shared_lib.billing.events import JobType
from shared_lib.billing.leasing import LeasedPayment, LeaseRequest
from shared_lib.billing.reports import PaymentReport
from shared_lib.contract.events import PING, Tick
from shared_lib.domain.messages import Due, SetAsideKind
from shared_lib.events.delivered import consumer
from shared_lib.events.incoming import Consumer, Incoming, data_of, hand_over
from shared_lib.owned import Together, beside, together
from shared_lib.phases.leases import lease_payments
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.renewals import call_for_help, open_renewals
from shared_lib.queries.due import due_subscriptions
from shared_lib.runtime import Runtime, runtime
from shared_lib.web import framework
from shared_lib.web.gated import gated

DUE_MAX: Final = 1000  # new ones read at once; when so many are due, another instance is asked to work too
CHUNK: Final = 200  # opened by one commit
CHUNKS_MIN: Final = 4  # under way, so that one is settled while another one waits for its provider
TICK_MAX_S: Final = 20.0  # the next tick continues where this one stopped
SETTLE_MAX: Final = 200
SETTLE_EVERY_S: Final = (
    0.1  # a crash loses at most this much of what providers answered; reconcile asks again
)

log = structlog.get_logger("boxoffice")


class ChargeRenewals(BaseModel):
    """Data of the job. `payment_ids`: opened by a version before this one, which left charging to a job."""

    payment_ids: list[str]


class Pace:
    """How much this process has under way: enough to keep its providers busy, and no more than they are asked about soon.

    What is opened is leased: a payment that waited for long would be taken over by reconcile. Payments are counted, and not
    chunks: one slow charge does not hold the room of the whole chunk it was opened with.
    """

    def __init__(self, rt: Runtime) -> None:
        limits = [provider.capabilities.max_concurrency for provider in rt.providers.values()]
        at_once = min(limits, default=CHUNK)
        self.chunk: Final = min(CHUNK, 4 * at_once)
        # Twice what is in flight: while answers are settled and the next chunk is opened, others wait to be charged.
        self._most: Final = max(CHUNKS_MIN * self.chunk, 2 * at_once)
        self._under_way = 0
        self._less = asyncio.Event()
        self.opening = 0  # calls that open what is due

    async def begin(self, count: int) -> None:
        """Return when so many more may be opened; `end` is due for each of them."""
        while self._under_way + count > self._most:
            self._less.clear()
            await self._less.wait()
        self._under_way += count

    def end(self, count: int) -> None:
        """So many are settled, or were not opened after all."""
        self._under_way -= count
        self._less.set()


@framework.http
@gated
@consumer
async def renew(event: Incoming) -> None:
    await hand_over(event, EVENTS, "renew")


async def take_tick(_: Incoming) -> None:
    await renew_all_due(runtime())


async def take_job(job: Incoming) -> None:
    rt, round_ = runtime(), Round(runtime(), SetAsideKind.PAYMENT)
    opened = [
        LeaseRequest(id=one, providers=rt.providers.keys())
        for one in data_of(job, ChargeRenewals).payment_ids
    ]
    leased = await round_.run(lease_payments, opened, lambda request: request.id)
    async for _ in charge(rt, [one for one in leased if one]):
        pass
    if not pace_of(rt).opening:  # else this process has as much under way as it may
        await renew_all_due(rt)


def pace_of(rt: Runtime) -> Pace:
    return rt.keep("pace", lambda: Pace(rt))


async def renew_all_due(rt: Runtime) -> int:
    """Renew what is due, until nothing is, the time is up or the process is asked to end. Returns how many payments were opened.

    More than this process takes at once: an idle instance is asked to work too, and at last to go on. What chunks have under way
    is finished in any case. Raises the first error of a chunk, once all have ended.
    """
    pace = pace_of(rt)
    async with together() as chunks:
        pace.opening += 1
        try:
            rest = await open_all_due(rt, pace, chunks)
        finally:
            pace.opening -= 1
        if rest:  # this process may be the one that goes on, while its last charges are not answered yet
            await rt.run(call_for_help, rest.id)
    total: int = sum(chunks.results())
    log.info("renewals_claimed", payments=total)
    return total


async def open_all_due(rt: Runtime, pace: Pace, chunks: Together[int]) -> Due | None:
    """Start chunks of what is due, as the pace has room. Returns the last one read when time is up: there may be more."""
    until, first = time.monotonic() + TICK_MAX_S, pace.opening == 1
    read: Sequence[Due] = ()
    while time.monotonic() < until and not rt.stopping.is_set():
        # What was read before and is still due is being opened, or cannot be decided now: behind it the new ones begin.
        before = {one.id for one in read}
        read = await rt.read(due_subscriptions, len(before) + DUE_MAX)
        due = [one for one in read if one.id not in before]
        if first and not before and len(due) == DUE_MAX:
            await rt.run(call_for_help, read[-1].id)
        for start in range(0, len(due), pace.chunk):
            chunk = due[start : start + pace.chunk]
            await pace.begin(len(chunk))
            chunks.start(renew_chunk(rt, pace, chunk, until))
        if len(due) < DUE_MAX:
            return None
    return read[-1] if read else None


async def renew_chunk(rt: Runtime, pace: Pace, due: Sequence[Due], until: float) -> int:
    """Open these in one commit, charge them, settle the answers. Returns how many payments were opened.

    The pace has made room for them, and hears how many are done.
    """
    under_way = len(due)
    try:
        if time.monotonic() >= until or rt.stopping.is_set():
            return 0
        round_ = Round(rt, SetAsideKind.SUBSCRIPTION)
        requests = [RenewalRequest(subscription_id=one.id, providers=rt.providers.keys()) for one in due]
        opened = await round_.run(open_renewals, requests, lambda request: request.subscription_id)
        await round_.done(due)
        leased = [one.to_charge for one in opened if one.to_charge]
        async for left in charge(rt, leased):
            pace.end(under_way - left)
            under_way = left
        return len(leased)
    finally:
        pace.end(under_way)


async def charge(rt: Runtime, leased: Sequence[LeasedPayment]) -> AsyncIterator[int]:
    """As many charges in flight as the provider allows; the answers are settled in batches.

    Yields how many are left, once before the first and once after each batch.
    """
    round_, left = Round(rt, SetAsideKind.PAYMENT), len(leased)
    yield left
    async for reports in in_batches(rt, leased):
        await round_.run(settle_payments, reports, lambda report: report.payment_id)
        left -= len(reports)
        yield left


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
    JobType.CHARGE_RENEWALS: take_job,
}
