"""How many charges one renew process keeps in flight: as many as its provider's account bears, whatever one of them takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from benchmarks.instant import InstantProvider
from shared_lib.domain.values import replace
from shared_lib.providers.base import ChargeRequest, PaymentSnapshot
from tests.concurrency.crowd import seed
from tests.concurrency.recording import NAME
from tests.kit.cinema import Cinema
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.waiting import until

TICK, JOB = "billing.tick.renewal", "billing.job.charge_renewals"


class Held(InstantProvider):
    """Answers as many charges as `answer` allows, and those of `slow` cards not before `answer_slow` is set."""

    name = NAME

    def __init__(self, at_once: int) -> None:
        self.capabilities = replace(InstantProvider.capabilities, max_concurrency=at_once)
        self.answer_slow = asyncio.Event()
        self.slow: set[str] = set()
        self.in_flight = self.answered = 0
        self._answers = asyncio.Semaphore(0)

    def answer(self, count: int) -> None:
        for _ in range(count):
            self._answers.release()

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        self.in_flight += 1
        if req.method.method_id in self.slow:
            await self.answer_slow.wait()
        else:
            await self._answers.acquire()
        self.in_flight -= 1
        self.answered += 1
        taken = await super().charge(req)
        return replace(taken, ref=replace(taken.ref, provider=NAME))


@pytest.fixture
async def crowd(open_cinema: OpenCinema) -> AsyncIterator[Cinema]:
    """Its only provider is put in by the test, so that the limit of no other one counts."""
    async with open_cinema() as opened:
        opened.rt.providers.clear()
        yield opened


def charged_by(crowd: Cinema, held: Held, count: int) -> None:
    crowd.rt.providers[NAME] = held
    seed(crowd, count)


def assert_all_paid(crowd: Cinema, held: Held, count: int) -> None:
    assert held.answered == count
    assert crowd.rows("SELECT status, count(*) FROM payments GROUP BY 1") == [("succeeded", count)]


async def test_as_many_charges_are_in_flight_as_the_provider_bears(crowd: Cinema) -> None:
    held = Held(1_500)  # more than one reading of what is due, and more than seven chunks
    charged_by(crowd, held, 1_800)
    ticking = asyncio.create_task(crowd.event(TICK))
    await until(lambda: held.in_flight == 1_500)
    held.answer(1_800)
    assert (await ticking).status_code == 200
    assert_all_paid(crowd, held, 1_800)


async def test_a_slow_charge_does_not_hold_back_those_that_were_opened_later(crowd: Cinema) -> None:
    held = Held(100)
    held.slow = {f"token_{n}" for n in range(100, 2_000, 150)}  # one or two in each chunk of 200
    charged_by(crowd, held, 1_800)
    held.answer(1_800)
    ticking = asyncio.create_task(crowd.event(TICK))
    slow = len(held.slow) - 1  # token_1900 is not seeded
    await until(lambda: held.answered == 1_800 - slow)
    assert held.in_flight == slow
    held.answer_slow.set()
    assert (await ticking).status_code == 200
    assert_all_paid(crowd, held, 1_800)


async def test_a_process_whose_time_is_up_goes_on_before_its_last_charges_are_answered(
    crowd: Cinema,
) -> None:
    """The job that it writes may come back to it: there may be no other process."""
    held = Held(50)
    charged_by(crowd, held, 1_800)
    ticking = asyncio.create_task(crowd.event(TICK))
    await until(lambda: opened(crowd) == 800)  # what 50 in flight allow
    crowd.rt.stopping.set()  # as good as the time that is up, and at a known moment
    held.answer(200)  # there is room for the next chunk, which is not opened any more
    await until(lambda: crowd.value(f"SELECT count(*) FROM outbox WHERE type = '{JOB}'") == 2)
    crowd.rt.stopping.clear()
    going_on = asyncio.create_task(crowd.event(JOB, {"payment_ids": []}))
    await until(lambda: opened(crowd) == 1_000)
    assert not ticking.done()
    held.answer(1_600)
    assert [answer.status_code for answer in await asyncio.gather(ticking, going_on)] == [200, 200]
    assert_all_paid(crowd, held, 1_800)


def opened(crowd: Cinema) -> int:
    count: int = crowd.value("SELECT count(*) FROM payments")
    return count
