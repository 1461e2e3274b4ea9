"""W14 at size: two renew functions over ten thousand due subscriptions, ticks and jobs delivered to both at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest

from tests.concurrency.crowd import seed
from tests.concurrency.recording import Record
from tests.kit.cinema import Cinema
from tests.kit.crash_points import Pause, watch
from tests.kit.instance import Instance, second_instance

TICK, JOB = "billing.tick.renewal", "billing.job.charge_renewals"
MINOR = 799
ROUNDS_MAX = 40  # a tick ends after 20 s, whatever is still due
WHAT_IS_DUE = "SELECT count(*) FROM subscriptions WHERE next_action_at <= boxoffice_now()"


async def renew(*functions: Instance) -> None:
    """All hear a tick and a call for help at the same moment, again and again, until nothing is due. One may die meanwhile."""
    for _ in range(ROUNDS_MAX):
        calls = [one.cinema.event(TICK) for one in functions]
        calls += [one.cinema.event(JOB, {"payment_ids": []}) for one in functions]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(answer, httpx.Response):
                assert answer.status_code == 200, answer.text
            else:
                assert isinstance(answer, httpx.TransportError), answer
        if functions[0].cinema.value(WHAT_IS_DUE) == 0:
            return
    raise AssertionError("the ticks never end")


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
        await renew(one, other)
    assert crowd.value(f"SELECT count(*) FROM outbox WHERE type = '{JOB}'") > 0  # more than one takes at once
    assert_each_once(crowd, record, 10_000)
    assert record.count("calls") == 10_000  # no process even asked twice


@pytest.mark.crash
async def test_one_of_two_renew_functions_is_killed_in_the_middle_and_each_is_charged_once(
    crowd: Cinema, record: Record
) -> None:
    seed(crowd, 2_000)
    async with second_instance(crowd) as survivor, second_instance(crowd) as killed:
        renewing = asyncio.create_task(renew(survivor, killed))
        while not record.calls_of(killed.process.pid):  # noqa: ASYNC110  # that process writes it
            await asyncio.sleep(0.001)
        killed.process.kill()  # it opened a chunk in one commit and has charged the first of it
        await renewing
        await killed.process.wait()
        undecided = crowd.value("SELECT count(*) FROM payments WHERE status = 'sending'")
        assert undecided > 0, "the kill came when nothing was on its way"
        await crowd.advance(timedelta(seconds=61))
        for _ in range(20):
            await survivor.cinema.event("billing.tick.reconcile")
            if not crowd.value("SELECT count(*) FROM payments WHERE status <> 'succeeded'"):
                break
    assert_each_once(crowd, record, 2_000)


async def test_a_function_that_is_asked_to_end_finishes_what_it_opened_and_hands_the_rest_on(
    crowd: Cinema, record: Record
) -> None:
    seed(crowd, 1_500)
    pause = Pause("open_renewals:after_commit")
    watch(crowd.rt, pause)
    ticking = asyncio.create_task(crowd.event(TICK))
    await pause.reached.wait()
    crowd.rt.stopping.set()
    pause.go_on.set()
    assert (await ticking).status_code == 200
    opened = record.count("charges")
    assert 0 < opened <= 1_000
    assert crowd.rows("SELECT status, count(*) FROM payments GROUP BY 1") == [("succeeded", opened)]
    assert crowd.value(f"SELECT count(*) FROM outbox WHERE type = '{JOB}'") == 2  # one to help, one to go on
    crowd.rt.stopping.clear()
    assert (await crowd.event(JOB, {"payment_ids": []})).status_code == 200
    assert_each_once(crowd, record, 1_500)
