"""Thousands of subscribers whose renewal is due, charged through a provider that answers at once."""

from __future__ import annotations

from tests.concurrency.recording import NAME
from tests.kit.cinema import Cinema

SEED = """
    INSERT INTO payment_methods (id, customer_id, provider, provider_ref, created_at)
    SELECT 'pm_' || n, 'cus_' || n, %(provider)s, 'token_' || n, now() FROM generate_series(1, %(count)s) AS n;
"""
SEED_SUBSCRIPTIONS = """
    INSERT INTO subscriptions (id, customer_id, product_id, product_title, price_id, status, amount_minor, currency,
        interval_unit, interval_count, time_zone, provider, anchor_at, period_n, period_start, period_end,
        payment_method_id, next_action_at, created_at)
    SELECT 'sub_' || n, 'cus_' || n, 'prd_basic', 'Cinema Basic', 'prc_basic_month', 'active', 799, 'EUR',
        'month', 1, 'UTC', %(provider)s, due - interval '1 month', 1, due - interval '1 month', due,
        'pm_' || n, due, due - interval '1 month'
    FROM (SELECT n, timestamptz '2026-03-15 12:00Z' AS due FROM generate_series(1, %(count)s) AS n) AS made
"""
NOW = "INSERT INTO test_clock (one, ahead) VALUES (true, timestamptz '2026-03-15 12:00:01Z' - now())"


def seed(cinema: Cinema, count: int) -> None:
    with cinema.db() as db:
        for statement in (SEED, SEED_SUBSCRIPTIONS):
            db.execute(statement, {"provider": NAME, "count": count})
        db.execute(NOW)
        db.execute("ANALYZE")
