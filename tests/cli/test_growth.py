"""What an operator asks at night reads by indexes: a table that grew to any size makes no difference to it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import psycopg
import pytest

from tests.kit.cinema import Cinema
from tests.kit.command import Run
from tests.kit.steps import BASIC, FILM, give_back
from tests.kit.waiting import until

COPIES = 20_000
READ_MAX = 1_000
"""Rows of one table that a command may read; each question is about a handful."""
GROWING = (
    "customers", "orders", "payments", "refunds", "subscriptions", "entitlements", "ledger_entries", "inbox", "notifications",
    "dead_letters", "repairs", "payment_methods", "trials",
)  # fmt: skip
# `doctor` adds up all money that was ever taken, and looks for titles that one customer paid twice.
ADDED_UP = {"payments", "refunds", "ledger_entries", "entitlements"}

# Each row again and again, as that of another customer years ago: what names or identifies gets a suffix, and an older ULID. A dead letter that waits
# would be one more to list, so the copies are of those that were replayed.
COPY = """
    INSERT INTO {table}
    SELECT copy.* FROM {table}, generate_series(1, %s) AS n, jsonb_populate_record({table}, (
        SELECT jsonb_object_agg(name, CASE WHEN jsonb_typeof(value) = 'string'
                   AND (name ~ '(^|_)(id|ref|email|about|target|fingerprint|card)$') THEN to_jsonb(replace(value #>> '{{}}', '_01', '_00') || '_' || n) ELSE value END)
        FROM jsonb_each(to_jsonb({table})) AS field (name, value)
    ) || '{changes}'::jsonb) AS copy
"""


def grown(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET session_replication_role = replica")  # no foreign keys, no triggers
        for table in GROWING:
            old = json.dumps({"replayed_at": "2026-01-01T00:00:00Z"} if table == "dead_letters" else {})
            (rows,) = db.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0]
            if rows:
                copies = -(-COPIES // rows)
                db.execute(COPY.format(table=table, changes=old).encode(), [copies])
                db.execute(f"ANALYZE {table}".encode())


def read(url: str) -> Mapping[str, int]:
    """Rows of each table that were read so far, by scans and by indexes."""
    with psycopg.connect(url, autocommit=True) as db:
        return dict(
            db.execute(
                """
                SELECT t.relname, seq_tup_read + coalesce((SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes i
                                                          WHERE i.relid = t.relid), 0)
                FROM pg_stat_user_tables t
                """
            ).fetchall()
        )


def none_at_work(url: str) -> bool:
    """Whether the sessions of the command line have ended, and so have counted what they read."""
    with psycopg.connect(url, autocommit=True) as db:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'boxoffice-cli'"
        return db.execute(asked).fetchall() == [(0,)]


@pytest.mark.slow
async def test_what_is_asked_at_night_reads_no_table_that_grows(cinema: Cinema, run: Run) -> None:
    order = await cinema.bought(FILM)
    await cinema.bought(BASIC)
    refund = (await give_back(cinema, order)).json()["id"]
    await cinema.drain()
    with cinema.db() as db:
        db.execute(
            "INSERT INTO dead_letters (id, event_id, topic, type, partition_key, headers, body, reason, dead_at)"
            " VALUES ('dlt_1', 'evt_1', 'billing.events', 'x', 'ann', '{\"subject\": \"s\"}', '{}', 'y', now())"
        )
        db.execute(
            "INSERT INTO repairs (id, made_at, made_by, verb, target) VALUES ('rpr_1', now(), 'olga', 'ask', 'pay_1')"
        )
    await until(lambda: bool(cinema.rows("SELECT 1 FROM inbox WHERE about IS NOT NULL")))
    (subscription,) = (row[0] for row in cinema.rows("SELECT id FROM subscriptions"))
    grown(cinema.database_url)
    assert cinema.value("SELECT count(*) FROM notifications") >= COPIES

    whose = ("ann", "ann@example.com", order["id"], subscription)
    asked = [
        *(("explain", one) for one in (*whose, order["payment"]["id"], refund)),
        *(("notifications", "list", one) for one in whose),
        ("notifications", "list"),
        ("notifications", "list", "--undelivered"),
        ("dead-letters", "list"),
        ("dead-letters", "show", "dlt_1"),
        ("repairs",),
        ("repairs", order["id"]),
        ("outbox",),
        ("doctor",),
    ]
    for command in asked:
        before = read(cinema.database_url)
        await run(*command, status=1 if command == ("doctor",) else 0)
        await until(lambda: none_at_work(cinema.database_url))
        after = read(cinema.database_url)
        much = {
            table: after[table] - before[table]
            for table in GROWING
            if after[table] - before[table] > READ_MAX
        }
        assert set(much) <= (ADDED_UP if command == ("doctor",) else set()), (command, much)
