"""A tick reads what waits, not what is done: its cost must not grow with the years of orders behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from shared_lib.queries.due import (
    due_payments,
    due_refunds,
    due_subscriptions,
    parked,
    parked_plays,
)
from shared_lib.queries.health import backlog
from shared_lib.queries.past import Past, expired_keys, old_letters, old_mails, old_messages, old_repairs
from shared_lib.store.transaction import Transaction, snapshot

DONE = 3_000
READ_MAX = 100  # the catalog of prices and the few rows that wait
QUERIES: list[tuple[Callable[[Transaction, Any], Awaitable[Any]], Any]] = [
    (backlog, None),
    (expired_keys, 5000),
    (old_messages, Past(days=30, limit=5000)),
    (old_mails, Past(days=30, limit=5000)),
    (old_letters, Past(days=30, limit=5000)),
    (old_repairs, Past(days=30, limit=5000)),
    (parked, 200),
    (parked_plays, 200),
    (due_payments, 200),
    (due_refunds, 200),
    (due_subscriptions, 1000),
]


YEARS = (
    "products (id, title, created_at) SELECT 'prd_' || n, 'Film', now()",
    (
        "prices (id, product_id, kind, amount_minor, currency, sellable_from)"
        " SELECT 'prc_' || n, 'prd_' || n, 'purchase', 1299, 'EUR', now()"
    ),
    (
        "subscriptions (id, customer_id, product_id, product_title, price_id, status, amount_minor, currency, provider,"
        " interval_unit, interval_count, time_zone, next_action_at, created_at) SELECT 'sub_' || n, 'cus_' || n, 'prd_' || n,"
        " 'Plan', 'prc_' || n, 'active', 1299, 'EUR', 'sandbox', 'month', 1, 'UTC', now() + interval '9 days', now()"
    ),
    (
        "orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status, amount_minor, currency,"
        " provider, return_url, created_at, expires_at) SELECT 'ord_' || n, 'cus_' || n, 'prc_' || n, 'prd_' || n, 'Film',"
        " 'purchase', 'purchase', 'paid', 1299, 'EUR', 'sandbox', '', now(), now()"
    ),
    (
        "payments (id, order_id, flow, status, attempt, amount_minor, currency, provider, created_at)"
        " SELECT 'pay_' || n, 'ord_' || n, 'checkout', 'succeeded', 1, 1299, 'EUR', 'sandbox', now()"
    ),
    (
        "refunds (id, order_id, payment_id, status, amount_minor, currency, reason, access, requested_by, created_at)"
        " SELECT 'ref_' || n, 'ord_' || n, 'pay_' || n, 'succeeded', 1, 'EUR', '', 'keep', 'ope_1', now()"
    ),
    "inbox (source, event_id, status, received_at) SELECT 'sandbox', 'evt_' || n, 'done', now()",
    (
        "idempotency_keys (customer_id, route, key, fingerprint, locked_until, expires_at)"
        " SELECT 'cus_' || n, 'POST /v1/orders', 'k', '', now(), now() + interval '3 days'"
    ),
    (
        "dead_letters (id, topic, partition_key, headers, body, reason, dead_at, replayed_at)"
        " SELECT 'dlt_Z' || n, 'billing.events', 'cus_' || n, '{}', '', '', now(), now()"
    ),
    "repairs (id, made_at, made_by, verb, target) SELECT 'rpr_Z' || n, now(), 'olga', 'replay', 'dlt_' || n",
    (
        "notifications (id, event_id, event_type, customer_id, status, locked_until, created_at)"
        " SELECT 'ntf_Z' || n, 'evt_' || n, 'billing.order.paid', 'cus_' || n, 'sent', now(), now()"
    ),
)


@pytest.fixture
def years_url(database_url: str) -> str:
    """A database in which nothing waits, and much is done."""
    with psycopg.connect(database_url, autocommit=True) as db:
        for rows in YEARS:
            db.execute(f"INSERT INTO {rows} FROM generate_series(1, {DONE}) AS n".encode())
        db.execute("ANALYZE")
    return database_url


@pytest.mark.parametrize(("query", "argument"), QUERIES, ids=[query.__name__ for query, _ in QUERIES])
async def test_a_tick_reads_no_rows_that_are_done(
    years_url: str, query: Callable[[Transaction, Any], Awaitable[Any]], argument: Any
) -> None:
    async with (
        await psycopg.AsyncConnection.connect(years_url, autocommit=True) as connection,
        snapshot(connection) as tx,
    ):
        await query(tx, argument)
        read = await tx.fetch(
            "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
            " WHERE seq_tup_read + coalesce(idx_tup_fetch, 0) > %s",
            [READ_MAX],
        )
    assert read == []
