"""W14 at size: two renew functions over ten thousand due subscriptions, every job delivered to both at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.concurrency.crowd import seed
from tests.concurrency.recording import Record
from tests.kit.cinema import Cinema
from tests.kit.instance import Instance, second_instance

TICK, JOB = "billing.tick.renewal", "billing.job.charge_renewals"
AT_ONCE = 4  # jobs each function works on
MINOR = 799


async def claim(*functions: Instance) -> None:
    """Both hear the tick at the same moment, again and again, until nothing is due."""
    for _ in range(40):
        await asyncio.gather(*(one.cinema.event(TICK) for one in functions))
        if (
            functions[0].cinema.value(
                "SELECT count(*) FROM subscriptions WHERE next_action_at <= boxoffice_now()"
            )
            == 0
        ):
            return
    raise AssertionError("the ticks never end")


async def deliver(function: Instance, jobs: list[dict[str, Any]]) -> None:
    """Every job, some at once. A function that died takes none any more."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(job: dict[str, Any]) -> None:
        async with limit:
            try:
                answer = await function.cinema.event(JOB, job)
            except httpx.TransportError:
                return
            assert answer.status_code == 200, answer.text

    await asyncio.gather(*map(one, jobs))


def jobs_of(cinema: Cinema) -> list[dict[str, Any]]:
    return [row[0] for row in cinema.rows(f"SELECT data FROM outbox WHERE type = '{JOB}' ORDER BY id")]


def assert_each_once(cinema: Cinema, record: Record, count: int) -> None:
    assert record.count("charges") == record.orders_charged() == count
    assert record.total_minor() == count * MINOR
    ours = "SELECT count(*), count(DISTINCT order_id), sum(amount_minor)::bigint FROM ledger_entries"
    assert cinema.rows(ours) == [(count, count, count * MINOR)]
    assert cinema.rows("SELECT period_n, status, count(*) FROM subscriptions GROUP BY 1, 2") == [
        (2, "active", count)
    ]
    assert cinema.rows("SELECT status, count(*) FROM payments GROUP BY 1") == [("succeeded", count)]
    assert cinema.value("SELECT count(*) FROM entitlements") == count


@pytest.mark.slow
async def test_two_renew_functions_race_over_ten_thousand_and_each_is_charged_once(
    crowd: Cinema, record: Record
) -> None:
    seed(crowd, 10_000)
    async with second_instance(crowd) as one, second_instance(crowd) as other:
        await claim(one, other)
        jobs = jobs_of(crowd)
        assert sum(len(job["payment_ids"]) for job in jobs) == 10_000
        await asyncio.gather(deliver(one, jobs), deliver(other, jobs[::-1]))
    assert_each_once(crowd, record, 10_000)
    assert record.count("calls") == 10_000  # no process even asked twice


@pytest.mark.crash
async def test_one_of_two_renew_functions_is_killed_in_the_middle_and_each_is_charged_once(
    crowd: Cinema, record: Record
) -> None:
    seed(crowd, 2_000)
    async with second_instance(crowd) as survivor, second_instance(crowd) as killed:
        await claim(survivor, killed)
        jobs = jobs_of(crowd)
        delivering = asyncio.gather(deliver(survivor, jobs), deliver(killed, jobs[::-1]))
        while record.count("charges") < 700:  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)
        killed.process.kill()
        await delivering
        await killed.process.wait()
        undecided = crowd.value("SELECT count(*) FROM payments WHERE status = 'sending'")
        assert undecided > 0, "the kill came when nothing was on its way"
        await crowd.advance(timedelta(seconds=61))
        for _ in range(20):
            await survivor.cinema.event("billing.tick.reconcile")
            if not crowd.value("SELECT count(*) FROM payments WHERE status <> 'succeeded'"):
                break
    assert_each_once(crowd, record, 2_000)
