"""Rows of years in which all is done: for the benchmark of growth, and for tests that nothing reads them without need."""

from __future__ import annotations

from typing import Any, Final

import psycopg

PRODUCTS: Final = 100

# Each statement makes %(rows)s rows that wait for nothing.
_YEARS: Final = (
    "customers (id, email, updated_at) SELECT 'cus_' || n, n || '@example.com', now()",
    (
        "payment_methods (id, customer_id, provider, provider_ref, card_key, created_at)"
        " SELECT 'pm_' || n, 'cus_' || n, 'sandbox', 'tok_' || n, 'key_' || n, now()"
    ),
    (
        "subscriptions (id, customer_id, product_id, product_title, price_id, status, amount_minor, currency, provider,"
        " interval_unit, interval_count, time_zone, next_action_at, payment_method_id, created_at) SELECT 'sub_' || n,"
        " 'cus_' || n, 'years_' || 1 + n %% 100, 'Plan', 'years_' || 1 + n %% 100, 'active', 1299, 'EUR', 'sandbox', 'month', 1,"
        " 'UTC', now() + interval '9 days' + n * interval '1 second', 'pm_' || n, now()"
    ),
    (
        "orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status, amount_minor, currency,"
        " provider, return_url, subscription_id, created_at, expires_at) SELECT 'ord_' || n, 'cus_' || n,"
        " 'years_' || 1 + n %% 100, 'years_' || 1 + n %% 100, 'Film', 'purchase', 'purchase', 'paid', 1299, 'EUR', 'sandbox', '',"
        " 'sub_' || n, now(), now()"
    ),
    (
        "payments (id, order_id, flow, status, attempt, amount_minor, currency, provider, provider_ref, payment_method_id,"
        " created_at) SELECT 'pay_' || n, 'ord_' || n, 'checkout', 'succeeded', 1, 1299, 'EUR', 'sandbox', 'ref_' || n, 'pm_' || n,"
        " now()"
    ),
    (
        "refunds (id, order_id, payment_id, status, amount_minor, currency, reason, access, requested_by, provider_ref, created_at)"
        " SELECT 'ref_' || n, 'ord_' || n, 'pay_' || n, 'succeeded', 1, 'EUR', '', 'keep', 'ope_1', 'back_' || n, now()"
    ),
    (
        "entitlements (id, customer_id, product_id, order_id, kind, status, starts_at)"
        " SELECT 'ent_' || n, 'cus_' || n, 'years_' || 1 + n %% 100, 'ord_' || n, 'purchase', 'active', now()"
    ),
    (
        "ledger_entries (source_kind, source_id, leg, order_id, debit, credit, amount_minor, currency, entered_at)"
        " SELECT 'payment', 'pay_' || n, 'captured', 'ord_' || n, 'provider', 'revenue', 1299, 'EUR', now()"
    ),
    (
        "trials (product_id, identity, customer_id, order_id, used_at)"
        " SELECT 'years_' || 1 + n %% 100, 'customer:cus_' || n, 'cus_' || n, 'ord_' || n, now()"
    ),
    (
        "inbox (source, event_id, status, received_at, about)"
        " SELECT 'sandbox', 'evt_' || n, 'done', now() - n * interval '1 second', 'pay_' || n"
    ),
    (
        "dead_letters (id, event_id, topic, type, partition_key, headers, body, reason, dead_at, replayed_at, dismissed_at)"
        " SELECT 'dlt_Z' || n, 'evt_' || n, 'billing.events', 't', 'cus_' || n, '{}', '', '', now(),"
        " CASE WHEN n %% 2 = 0 THEN now() END, CASE WHEN n %% 2 = 1 THEN now() END"
    ),
    "repairs (id, made_at, made_by, verb, target) SELECT 'rpr_Z' || n, now(), 'olga', 'replay', 'dlt_Z' || n",
    (
        "notifications (id, event_id, event_type, customer_id, status, locked_until, created_at, sent_at)"
        " SELECT 'ntf_Z' || n, 'evt_' || n, 'billing.order.paid', 'cus_' || n, 'sent', now(), now(), now()"
    ),
)


# A key and its reply have the sizes of real ones.
_KEYS: Final = """
    INSERT INTO idempotency_keys (customer_id, route, key, fingerprint, resource_id, locked_until, expires_at, reply)
    SELECT 'cus_' || n, 'POST /v1/orders', gen_random_uuid()::text, sha256(n::text::bytea), 'ord_' || lpad(n::text, 26, '0'), now(),
           now() + interval '1 hour' + random() * interval '71 hours',
           sha256(('a' || n)::bytea) || sha256(('b' || n)::bytea) || sha256(('c' || n)::bytea) || sha256(('d' || n)::bytea)
           || sha256(('e' || n)::bytea)
    FROM generate_series(%(first)s::int, %(last)s::int) AS n, generate_series(1, %(keys)s::int)
"""


def fill(db: psycopg.Connection[Any], rows: int, *, first: int = 1, keys: int = 1) -> None:
    """A database in which nothing waits, and much is done: so many rows in each table that grows, and `keys` times as many keys.

    `first` is the number of the first row: more than 1 adds rows to a database that was filled before.
    """
    db.execute(
        "INSERT INTO products (id, title, created_at) SELECT 'years_' || n, 'Film', now()"
        " FROM generate_series(1, %s) AS n ON CONFLICT DO NOTHING",
        [PRODUCTS],
    )
    db.execute(
        "INSERT INTO prices (id, product_id, kind, amount_minor, currency, sellable_from)"
        " SELECT 'years_' || n, 'years_' || n, 'purchase', 1299, 'EUR', now() FROM generate_series(1, %s) AS n"
        " ON CONFLICT DO NOTHING",
        [PRODUCTS],
    )
    numbers = {"first": first, "last": first + rows - 1, "keys": keys}
    for statement in _YEARS:
        text = f"INSERT INTO {statement} FROM generate_series(%(first)s::int, %(last)s::int) AS n"
        db.execute(text.encode(), numbers)
    db.execute(_KEYS, numbers)
    db.execute("ANALYZE")
