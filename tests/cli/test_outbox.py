"""`boxoffice outbox` on a real database, with relays that are there, away, and asleep."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from shared_lib.billing.events import JOBS, Event
from shared_lib.cli.main import main
from shared_lib.runtime import Runtime
from shared_lib.workers.relay import Relay
from tests.kit.outbox import RecordingSink, ahead, facts, post, running
from tests.kit.waiting import until


@pytest.fixture
def looks(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Looks:
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", database_url)
    return Looks(capsys)


class Looks:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def __call__(self) -> tuple[int, str]:
        status = await asyncio.to_thread(main, ["outbox"])
        return status, self._capsys.readouterr().out


def waited_s(pattern: str, said: str) -> int:
    """Seconds as the output names them. The clock goes on while the test looks, so they are at least what it was put ahead."""
    found = re.search(pattern, said)
    assert found, said
    return int(found[1])


async def test_an_empty_outbox_is_well_even_without_a_relay(rt: Runtime, looks: Looks) -> None:
    assert await looks() == (
        0,
        "0 ready, the oldest for 0 s; 0 wait for a later time; 0 are being retried.\nNo relay is connected.\n",
    )


async def test_it_counts_what_is_ready_what_waits_and_says_when_nobody_works(
    rt: Runtime, looks: Looks
) -> None:
    now = await rt.clock()
    job = Event(type="billing.job.start_payment", subject="pay_1", partition_key="ann", data={}, topic=JOBS,
                available_at=now + timedelta(hours=1))  # fmt: skip
    await post(rt, *facts("ann", 3), job)
    status, said = await looks()
    assert status == 0  # a moment is no reason to wake on-call
    assert "3 ready" in said
    assert "1 wait for a later time" in said

    await ahead(rt, timedelta(minutes=1))
    status, said = await looks()
    assert status == 1
    assert waited_s(r"the oldest for (\d+) s", said) >= 60
    assert "start a relay" in said
    facts_line, jobs_line = [line.split() for line in said.splitlines() if line.startswith("billing.")]
    assert [*facts_line[:3], *facts_line[4:]] == ["billing.events", "billing.order.paid", "3", "0", "0", "0"]
    assert int(facts_line[3]) >= 60
    assert jobs_line == ["billing.jobs", "billing.job.start_payment", "0", "-", "1", "0", "0"]


async def test_it_names_the_relays_with_their_shards_and_tells_when_one_does_not_move(
    rt: Runtime, looks: Looks
) -> None:
    asleep = RecordingSink(slow_s=30)
    relay = Relay(rt, asleep)
    async with running(relay):
        await post(rt, *facts("ann", 1))
        await until(lambda: bool(relay._busy))
        status, said = await looks()
        assert status == 0
        assert "shards 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11" in said
        await ahead(rt, timedelta(minutes=2))
        status, said = await looks()
        assert status == 1
        assert waited_s(r"Stuck for (\d+) s although a relay holds the shard", said) >= 120
        for task in relay._busy.values():
            task.cancel()
