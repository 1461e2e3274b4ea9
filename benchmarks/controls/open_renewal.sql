-- One due subscription: its next order, the payment that is about to be asked for, and the fact. One commit.
WITH due AS MATERIALIZED (
    SELECT s.*, 'ord_' || uuidv7() AS order_id, 'pay_' || uuidv7() AS payment_id, boxoffice_now() AS now_,
           s.period_end AS starts_at,
           (s.anchor_at AT TIME ZONE s.time_zone + (s.period_n + 1 - s.anchor_n) * interval '1 month')
               AT TIME ZONE s.time_zone AS ends_at
    FROM subscriptions s
    WHERE s.id = %(subscription_id)s AND s.next_action_at <= boxoffice_now() AND s.auto_renew FOR UPDATE
),
ordered AS (
    INSERT INTO orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status, amount_minor,
                        currency, provider, return_url, created_at, expires_at, subscription_id, period_n, period_start,
                        period_end, version)
    SELECT order_id, customer_id, price_id, product_id, product_title, 'subscription', 'subscription_cycle', 'pending',
           amount_minor, currency, provider, '', now_, now_ + interval '22 days', id, period_n + 1, starts_at, ends_at, 1
    FROM due
),
paying AS (
    INSERT INTO payments (id, order_id, provider, flow, status, attempt, amount_minor, currency, payment_method_id, fence,
                          lease_until, first_sent_at, next_check_at, created_at)
    SELECT payment_id, order_id, provider, 'charge', 'sending', 1, amount_minor, currency, payment_method_id, 1,
           now_ + interval '60 s', now_, now_ + interval '60 s', now_ FROM due
),
told AS (
    INSERT INTO outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, created_at, available_at)
    SELECT 'evt_' || uuidv7(), 'billing.events', 'billing.order.created', order_id, 1, customer_id,
           abs(hashtext(customer_id)) %% 12,
           jsonb_build_object('order_id', order_id, 'customer_id', customer_id, 'status', 'pending',
               'billing_reason', 'subscription_cycle', 'product_id', product_id, 'product_title', product_title,
               'price_id', price_id, 'kind', 'subscription', 'provider', provider, 'subscription_id', id,
               'amount', jsonb_build_object('minor', amount_minor, 'currency', currency),
               'period_start', starts_at, 'period_end', ends_at), now_, now_ FROM due
),
claimed AS (
    UPDATE subscriptions s SET open_order_id = due.order_id, next_action_at = NULL FROM due WHERE s.id = due.id
)
SELECT due.order_id, due.payment_id, due.amount_minor, due.currency, due.product_title, m.provider, m.provider_ref AS card
FROM due JOIN payment_methods m ON m.id = due.payment_method_id
