"""Relays with floors: what is put off, buried, replayed or taken over is delivered. And ids come after xids, in every way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from shared_lib.domain.messages import NotificationStatus
from shared_lib.phases.notifications import (
    ClaimedNotification,
    ClaimNotification,
    MarkSent,
    SendAgain,
    claim_notifications,
    mark_sent,
)
from shared_lib.phases.outgoing import Replay, replay_dead_letters
from shared_lib.runtime import Runtime
from shared_lib.store.repairs import Repair
from shared_lib.workers.floor import MovingFloor
from shared_lib.workers.relay import Relay
from shared_lib.workers.sink import NeverError, NotNowError
from tests.kit.outbox import RecordingSink, ahead, facts, post, waiting
from tests.workers.held import ALL, INSERT, insert, session


@pytest.fixture
def moving(rt: Runtime) -> Callable[[], MovingFloor]:
    """A floor that is looked at after each row, as a busy relay looks after each few thousand."""
    return lambda: MovingFloor(rt, rows=1)


async def test_what_is_put_off_buried_or_replayed_below_the_floor_is_delivered(
    rt: Runtime, moving: Callable[[], MovingFloor]
) -> None:
    answers: dict[int | None, Exception] = {1: NotNowError("busy"), 2: NeverError("422")}
    door = RecordingSink(lambda event: answers.get(event.sequence) if event.partition_key == "ann" else None)
    relay = Relay(rt, door, floor=moving())
    await post(rt, *facts("ann", 2))
    for n in range(5):
        await post(rt, *facts("bob", 20, first=1 + 20 * n))
        await relay.run_once()
        await relay.settle()
        await ahead(rt, timedelta(minutes=10))
    assert door.heard() == {"bob": list(range(1, 101))}
    del answers[1]
    for _ in range(3):
        await ahead(rt, timedelta(minutes=10))
        await relay.run_once()
        await relay.settle()
    assert door.heard()["ann"] == [1]
    answers.clear()
    await rt.run(replay_dead_letters, Replay(repair=Repair(made_by="olga", verb="replay")))
    await relay.run_once()
    await relay.settle()
    assert door.heard()["ann"] == [1, 2]


async def test_relays_that_share_the_shards_have_floors_of_their_own(
    rt: Runtime, database_url: str, moving: Callable[[], MovingFloor]
) -> None:
    door, halves = RecordingSink(), (ALL[:6], ALL[6:])
    relays = [Relay(rt, door, floor=moving()), Relay(rt, door, floor=moving())]
    names = [f"customer{n}" for n in range(24)]
    async with session(database_url) as slow:
        await insert(slow, "slow")
        for n in range(4):
            await post(rt, *(fact for name in names for fact in facts(name, 1, first=n + 1)))
            for relay, shards in zip(relays, halves, strict=True):
                await relay.run_once(shards)
                await relay.settle()
        await slow.commit()
    for relay, shards in zip(relays, reversed(halves), strict=True):  # each takes over what the other one had
        await relay.run_once(shards)
        await relay.settle()
    assert door.heard() == {**{name: [1, 2, 3, 4] for name in names}, "slow": [1]}
    assert await waiting(rt) == 0


async def test_a_relay_that_lost_its_session_begins_with_the_first_row(
    rt: Runtime, database_url: str, moving: Callable[[], MovingFloor]
) -> None:
    """The database may be a replica now, whose sequence had not come as far."""
    door = RecordingSink()
    relay = Relay(rt, door, floor=moving())
    for n in range(3):
        await post(rt, *facts("ann", 5, first=1 + 5 * n))
        await relay.run_once()
        await relay.settle()
    async with session(database_url) as operator:
        await operator.execute("ALTER TABLE outbox ALTER COLUMN id RESTART WITH 2")
    await post(rt, *facts("bob", 1))
    await relay.abandon()
    await relay.run_once()
    await relay.settle()
    assert door.heard()["bob"] == [1]


# ---- the precondition ------------------------------------------------------------------------------------------


@pytest.fixture
async def refusing(database_url: str) -> None:
    """A transaction that takes an id before it has an xid is refused: a trigger of a row runs between these two.

    The sequence itself gives every 33rd transaction an xid, when it writes to the log, so one id is taken first.
    """
    async with session(database_url) as owner:
        await owner.execute(REFUSE_IDS_BEFORE_XIDS)
        await owner.execute("SELECT nextval('outbox_id_seq')")
        await owner.commit()


async def test_without_the_trigger_an_id_is_taken_before_the_xid(database_url: str, refusing: None) -> None:
    """So the tests below can fail."""
    async with session(database_url) as owner:
        await owner.execute("DROP TRIGGER IF EXISTS outbox_xid_before_id ON outbox")
        await owner.commit()
        with pytest.raises(psycopg.errors.RaiseException, match="an id before an xid"):
            await insert(owner, "ann")


async def test_each_way_into_the_outbox_has_its_xid_first(
    rt: Runtime, database_url: str, refusing: None
) -> None:
    await post(rt, *facts("ann", 3))
    claimed = await rt.run(
        claim_notifications, ClaimNotification(event_id="evt_1", event_type="t", customer_id="ann")
    )
    assert isinstance(claimed, ClaimedNotification)
    again = SendAgain(claimed=claimed, event_id="evt_1", event_type="t", data={})
    await rt.run(mark_sent, MarkSent(id=claimed.id, status=NotificationStatus.FAILED, again=again))
    door = RecordingSink(lambda event: NeverError("422") if event.sequence == 2 else None)
    relay = Relay(rt, door)
    await relay.run_once()
    await relay.settle()
    await rt.run(replay_dead_letters, Replay(repair=Repair(made_by="olga", verb="replay")))
    assert await waiting(rt) == 2


async def test_each_statement_that_inserts_has_its_xid_first(database_url: str, refusing: None) -> None:
    values = {"key": "ann", "shard": 1, "count": 2}
    async with session(database_url) as door:
        for statement in (INSERT, f"WITH new AS ({INSERT}) SELECT * FROM new", f"EXPLAIN ANALYZE {INSERT}"):
            await door.execute(statement.encode(), values)
            await door.commit()
        async with door.cursor().copy(
            "COPY outbox (event_id, topic, type, subject, partition_key, shard, data, created_at, available_at) FROM STDIN"
        ) as copy:
            await copy.write_row(("evt_copied", "t", "t", "s", "ann", 1, json.dumps({}), "now", "now"))
        await door.commit()


async def test_the_trigger_runs_in_a_restore_too_and_ids_are_given_in_order_to_all_sessions(
    database_url: str,
) -> None:
    """A session that kept some ids for itself would commit below the floor."""
    async with session(database_url) as connection:
        enabled = await connection.execute(
            "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'outbox_xid_before_id'"
        )
        assert await enabled.fetchall() == [("A",)]
        rows = await connection.execute(
            "SELECT cache_size, increment_by, cycle FROM pg_sequences WHERE sequencename = 'outbox_id_seq'"
        )
        assert await rows.fetchall() == [(1, 1, False)]


REFUSE_IDS_BEFORE_XIDS = """
    CREATE FUNCTION refuse_ids_before_xids() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF pg_current_xact_id_if_assigned() IS NULL THEN RAISE 'an id before an xid'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse_ids_before_xids BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse_ids_before_xids();
"""
