"""What is past its time goes; what it made, and what is still waited for, stays."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from functions.reconcile.main import (
    purge_expired,
    purge_old_letters,
    purge_old_mails,
    purge_old_repairs,
)
from shared_lib.ids import new_id
from shared_lib.settings import Settings
from tests.kit.cinema import Cinema


async def test_keys_go_after_72_hours_and_messages_after_30_days(cinema: Cinema) -> None:
    await cinema.bought("prc_metropolis_buy")
    counts = "SELECT (SELECT count(*) FROM idempotency_keys), (SELECT count(*) FROM inbox)"
    ((keys, messages),) = cinema.rows(counts)
    assert (keys, messages > 0) == (1, True)
    await cinema.advance(timedelta(hours=71))
    assert await purge_expired(cinema.rt) == 0
    await cinema.advance(timedelta(hours=2))
    assert await purge_expired(cinema.rt) == 1
    assert cinema.rows(counts) == [(0, messages)]
    await cinema.advance(timedelta(days=28))
    assert await purge_expired(cinema.rt) == messages
    assert cinema.rows(counts) == [(0, 0)]
    assert cinema.value("SELECT count(*) FROM orders WHERE status = 'paid'") == 1


async def test_a_parked_message_is_not_forgotten(cinema: Cinema) -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO inbox (source, event_id, status, received_at)"
            " VALUES ('sandbox', 'evt_1', 'parked', boxoffice_now() - interval '60 days')"
        )
    assert await purge_expired(cinema.rt) == 0
    assert cinema.value("SELECT count(*) FROM inbox") == 1


async def test_mails_that_were_sent_go_after_400_days_and_those_that_wait_stay(cinema: Cinema) -> None:
    await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    assert cinema.rows("SELECT status FROM notifications") == [("sent",)]
    with cinema.db() as db:
        for status in ("unknown", "refused", "failed", "sending", "skipped"):
            db.execute(
                "INSERT INTO notifications (id, event_id, event_type, customer_id, status, locked_until, created_at)"
                " VALUES (%s, %s, 't', 'ann', %s, boxoffice_now(), boxoffice_now())",
                [new_id("ntf"), new_id("evt"), status],
            )
    await cinema.advance(timedelta(days=399))
    assert await purge_old_mails(cinema.rt) == 0
    await cinema.advance(timedelta(days=2))
    assert await purge_old_mails(cinema.rt) == 2
    left = cinema.rows("SELECT status FROM notifications ORDER BY status")
    assert left == [("failed",), ("refused",), ("sending",), ("unknown",)]


async def test_dead_letters_go_90_days_after_they_were_replayed_or_dismissed(cinema: Cinema) -> None:
    with cinema.db() as db:
        for column in ("replayed_at", "dismissed_at"):
            letter(db, column)
        letter(db)
    await cinema.advance(timedelta(days=89))
    assert await purge_old_letters(cinema.rt) == 0
    await cinema.advance(timedelta(days=2))
    assert await purge_old_letters(cinema.rt) == 2
    waiting = "SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL AND dismissed_at IS NULL"
    assert cinema.value(waiting) == cinema.value("SELECT count(*) FROM dead_letters") == 1


def letter(db: psycopg.Connection[tuple[object, ...]], done: str = "dead_at") -> None:
    """A dead letter that waits, or that was replayed or dismissed at once."""
    id_ = new_id("dlt")
    db.execute(
        "INSERT INTO dead_letters (id, topic, partition_key, headers, body, reason, dead_at)"
        " VALUES (%s, 'billing.events', 'ann', '{}', '', '422', boxoffice_now())",
        [id_],
    )
    db.execute(f"UPDATE dead_letters SET {done} = boxoffice_now() WHERE id = %s".encode(), [id_])


async def test_one_letter_that_cannot_be_purged_stops_no_other(cinema: Cinema) -> None:
    with cinema.db() as db:
        for _ in range(5):
            letter(db, "replayed_at")
        db.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
        )
        db.execute(
            "CREATE TRIGGER refused BEFORE DELETE ON dead_letters FOR EACH ROW"
            " WHEN (OLD.reason = 'stays') EXECUTE FUNCTION refuse()"
        )
        db.execute("UPDATE dead_letters SET reason = 'stays' WHERE id = (SELECT min(id) FROM dead_letters)")
    await cinema.advance(timedelta(days=91))
    assert await purge_old_letters(cinema.rt) == 4
    assert cinema.rows("SELECT reason FROM dead_letters") == [("stays",)]


async def test_what_operators_did_is_kept_three_years_and_the_last_year_whatever_is_asked(
    cinema: Cinema,
) -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO repairs (id, made_at, made_by, verb, target) VALUES (%s, boxoffice_now(), 'olga', 'replay', 'dlt_1')",
            [new_id("rpr")],
        )
        await cinema.advance(timedelta(days=364))
        with pytest.raises(psycopg.errors.RestrictViolation):
            db.execute("DELETE FROM repairs")
    assert await purge_old_repairs(cinema.rt) == 0
    await cinema.advance(timedelta(days=732))
    assert await purge_old_repairs(cinema.rt) == 1
    with pytest.raises(ValueError, match="keep_repairs_days"):
        Settings.model_validate(cinema.rt.settings.model_dump() | {"keep_repairs_days": 300})


async def test_a_tick_of_the_clock_purges_all_of_it(cinema: Cinema) -> None:
    await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    with cinema.db() as db:
        letter(db, "dismissed_at")
    await cinema.advance(timedelta(days=401))
    assert (await cinema.event("billing.tick.reconcile")).status_code == 200
    gone = "SELECT (SELECT count(*) FROM notifications), (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM inbox)"
    assert cinema.rows(gone) == [(0, 0, 0)]
