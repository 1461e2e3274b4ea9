"""What one tick of reconcile gets through: all that is due, not one batch of it. In a cluster there is one tick a minute."""

from __future__ import annotations

from tests.kit.cinema import Cinema

PAYMENTS, KEYS = 250, 5_500
# Checkouts that were committed and whose provider was never asked, as after an outage.
_ORDERS = """
    INSERT INTO orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status, amount_minor,
        currency, provider, return_url, created_at, expires_at, holds)
    SELECT 'ord_' || n, 'cus_' || n, p.id, p.product_id, 'Film', 'purchase', 'purchase', 'pending', p.amount_minor,
        p.currency, 'sandbox', 'http://cinema.test/thanks', boxoffice_now(), boxoffice_now() + interval '1 day', true
    FROM generate_series(1, %s) AS n, prices p WHERE p.id = 'prc_stalker_buy'
"""
_PAYMENTS = """
    INSERT INTO payments (id, order_id, provider, flow, status, attempt, amount_minor, currency, next_check_at, created_at)
    SELECT 'pay' || substr(id, 4), id, provider, 'checkout', 'created', 1, amount_minor, currency, created_at, created_at
    FROM orders
"""
_KEYS = """
    INSERT INTO idempotency_keys (customer_id, route, key, fingerprint, locked_until, expires_at)
    SELECT 'cus_' || n, 'POST /v1/orders', 'k', '', now(), now() - interval '1 s' FROM generate_series(1, %s) AS n
"""


async def test_a_tick_asks_about_every_payment_that_is_due(cinema: Cinema) -> None:
    with cinema.db() as db:
        db.execute(_ORDERS, [PAYMENTS])
        db.execute(_PAYMENTS)

    answer = await cinema.event("billing.tick.reconcile")

    assert answer.status_code == 200
    assert cinema.rows("SELECT status, count(*) FROM payments GROUP BY status") == [("pending", PAYMENTS)]


async def test_a_tick_forgets_every_key_whose_time_is_over(cinema: Cinema) -> None:
    with cinema.db() as db:
        db.execute(_KEYS, [KEYS])

    answer = await cinema.event("billing.tick.reconcile")

    assert answer.status_code == 200
    assert cinema.value("SELECT count(*) FROM idempotency_keys") == 0
