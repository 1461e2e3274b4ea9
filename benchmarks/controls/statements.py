"""The SQL of one order, written by hand: one statement opens it, one settles it. Shared by psycopg and pgbench.

Each is one round trip and one commit. `{asked}` is the SELECT that names what is asked for.
"""

from __future__ import annotations

from typing import Final

ASKED_BY_PSYCOPG: Final = """
    SELECT %(customer_id)s::text AS customer_id, %(email)s::text AS email, %(locale)s::text AS locale,
           %(key)s::text AS key, %(fingerprint)s::bytea AS fingerprint, %(price_id)s::text AS price_id,
           %(return_url)s::text AS return_url, %(order_id)s::text AS order_id, %(payment_id)s::text AS payment_id,
           %(event_id)s::text AS event_id, %(shard)s::smallint AS shard, %(provider)s::text AS provider
"""

ASKED_BY_PGBENCH: Final = """
    SELECT 'cus_' || lpad(:customer::text, 6, '0') AS customer_id,
           'cus_' || lpad(:customer::text, 6, '0') || '@example.com' AS email, 'en' AS locale,
           uuidv7()::text AS key, sha256('pgbench') AS fingerprint,
           'prc_b' || lpad(:title::text, 3, '0') || CASE WHEN :kind = 0 THEN '_buy' ELSE '_rent' END AS price_id,
           'http://cinema.test/thanks' AS return_url, 'ord_' || uuidv7() AS order_id,
           'pay_' || uuidv7() AS payment_id, 'evt_' || uuidv7() AS event_id, (:customer % 12)::smallint AS shard,
           'pgbench' AS provider
"""

OPEN: Final = """
WITH asked AS MATERIALIZED ({asked}),
claimed AS (
    INSERT INTO idempotency_keys (customer_id, route, key, fingerprint, resource_id, locked_until, expires_at)
    SELECT customer_id, 'POST /v1/orders', key, fingerprint, order_id, now() + interval '30 s',
           now() + interval '72 h' FROM asked
    ON CONFLICT DO NOTHING RETURNING key
),
priced AS (
    SELECT p.*, t.title FROM asked JOIN prices p ON p.id = asked.price_id JOIN products t ON t.id = p.product_id
    WHERE p.sellable_from <= now() AND (p.sellable_until IS NULL OR p.sellable_until > now())
      AND NOT (p.kind = 'purchase' AND EXISTS (
          SELECT FROM entitlements e WHERE e.customer_id = asked.customer_id AND e.product_id = p.product_id
          AND e.kind = 'purchase' AND e.status = 'active'))
),
kept AS (
    INSERT INTO customers (id, email, locale, time_zone, updated_at)
    SELECT customer_id, email, locale, 'UTC', now() FROM asked
    ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email, locale = EXCLUDED.locale, updated_at = now()
    WHERE (customers.email, customers.locale) IS DISTINCT FROM (EXCLUDED.email, EXCLUDED.locale)
),
opened AS (
    INSERT INTO orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status,
                        amount_minor, currency, provider, return_url, created_at, expires_at, version)
    SELECT a.order_id, a.customer_id, p.id, p.product_id, p.title, p.kind, p.kind, 'pending', p.amount_minor,
           p.currency, a.provider, a.return_url, now(), now() + interval '24 h', 1
    FROM asked a, claimed, priced p RETURNING *
),
paying AS (
    INSERT INTO payments (id, order_id, provider, flow, status, attempt, amount_minor, currency, fence,
                          lease_until, first_sent_at, next_check_at, created_at)
    SELECT a.payment_id, o.id, o.provider, 'checkout', 'sending', 1, o.amount_minor, o.currency, 1,
           now() + interval '60 s', now(), now() + interval '60 s', now() FROM asked a, opened o
),
told AS (
    INSERT INTO outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, created_at,
                        available_at)
    SELECT a.event_id, 'billing.events', 'billing.order.created', o.id, 1, o.customer_id, a.shard,
           jsonb_build_object('order_id', o.id, 'customer_id', o.customer_id, 'status', o.status,
               'billing_reason', o.billing_reason, 'product_id', o.product_id, 'product_title', o.product_title,
               'price_id', o.price_id, 'kind', o.kind,
               'amount', jsonb_build_object('minor', o.amount_minor, 'currency', o.currency),
               'subscription_id', NULL, 'provider', o.provider, 'period_start', NULL, 'period_end', NULL),
           now(), now()
    FROM asked a, opened o
)
SELECT o.id, a.payment_id, o.customer_id, a.key, o.product_id, o.product_title, o.kind, o.amount_minor, o.currency,
       o.created_at, o.expires_at
FROM asked a, opened o
"""

SETTLE: Final = """
WITH settled AS (
    UPDATE payments SET status = 'pending', provider_ref = {ref}, checkout_url = {url}, checks = checks + 1,
        next_check_at = now() + interval '10 min', lease_until = NULL
    WHERE id = {payment_id} AND fence = 1 RETURNING id
)
UPDATE idempotency_keys SET reply_status = 201, reply_body = {body}, reply_location = {location}
FROM settled WHERE customer_id = {customer_id} AND route = 'POST /v1/orders' AND key = {key}
"""

OPEN_BY_PSYCOPG: Final = OPEN.format(asked=ASKED_BY_PSYCOPG)
SETTLE_BY_PSYCOPG: Final = SETTLE.format(
    **{name: f"%({name})s" for name in ("ref", "url", "payment_id", "body", "location", "customer_id", "key")}
)


def pgbench_script(customers: int, titles: int) -> str:
    """One order per pgbench transaction; its two statements commit one after the other."""
    opening = OPEN.format(asked=ASKED_BY_PGBENCH).strip()
    settling = SETTLE.format(
        ref="'ins_' || :payment_id",
        url="'https://pay.example/' || :payment_id",
        payment_id=":payment_id",
        body=f"convert_to(rpad('{{}}', {REPLY_BYTES}), 'UTF8')",
        location="'/v1/orders/' || :id",
        customer_id=":customer_id",
        key=":key",
    ).strip()
    return (
        f"\\set customer random(1, {customers})\n\\set title random(1, {titles})\n\\set kind random(0, 1)\n"
        f"{opening} \\gset\n{settling};\n"
    )


REPLY_BYTES: Final = 650  # about as long as the answer that is saved with the key
