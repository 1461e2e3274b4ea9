"""What is past its time goes; what it made, and what is still waited for, stays."""

from __future__ import annotations

from datetime import timedelta

from functions.reconcile.main import purge_expired
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
