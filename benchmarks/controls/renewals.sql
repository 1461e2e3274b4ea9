-- Control (b) of renewals, the ceiling: one statement renews up to 5,000 due subscriptions, with the rows that ours
-- writes. No provider could be asked in between, so no real system could use it; it shows what the database itself needs.
WITH due AS MATERIALIZED (
    SELECT s.*, s.period_n + 1 AS n, boxoffice_now() AS now_, 'ord_' || uuidv7() AS order_id, 'pay_' || uuidv7() AS payment_id,
           'ent_' || uuidv7() AS entitlement_id, s.period_end AS starts_at,
           (s.anchor_at AT TIME ZONE s.time_zone + (s.period_n + 1 - s.anchor_n) * interval '1 month')
               AT TIME ZONE s.time_zone AS ends_at,
           abs(hashtext(s.customer_id)) % 12 AS shard
    FROM subscriptions s WHERE s.next_action_at <= boxoffice_now() AND s.auto_renew
    ORDER BY s.next_action_at, s.id LIMIT 5000 FOR UPDATE SKIP LOCKED
),
ordered AS (
    INSERT INTO orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status, amount_minor,
                        currency, provider, return_url, created_at, expires_at, subscription_id, period_n, period_start,
                        period_end, paid_payment_id, paid_at, version)
    SELECT order_id, customer_id, price_id, product_id, product_title, 'subscription', 'subscription_cycle', 'paid',
           amount_minor, currency, provider, '', now_, now_ + interval '22 days', id, n, starts_at, ends_at, payment_id,
           now_, 4 FROM due
),
charged AS (
    INSERT INTO payments (id, order_id, provider, flow, status, attempt, amount_minor, currency, payment_method_id,
                          provider_ref, captured_minor, fence, first_sent_at, created_at)
    SELECT payment_id, order_id, provider, 'charge', 'succeeded', 1, amount_minor, currency, payment_method_id,
           'ins_' || payment_id, amount_minor, 1, now_, now_ FROM due
),
entered AS (
    INSERT INTO ledger_entries (source_kind, source_id, leg, order_id, debit, credit, amount_minor, currency, entered_at)
    SELECT 'payment', payment_id, 'captured', order_id, 'provider:' || provider, 'revenue', amount_minor, currency, now_
    FROM due
),
granted AS (
    INSERT INTO entitlements (id, customer_id, product_id, order_id, subscription_id, kind, status, starts_at, ends_at)
    SELECT entitlement_id, customer_id, product_id, order_id, id, 'subscription', 'active', starts_at, ends_at FROM due
),
told AS (
    INSERT INTO outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, created_at, available_at)
    SELECT 'evt_' || uuidv7(), 'billing.events', 'billing.' || fact.name,
           CASE WHEN fact.n = 5 THEN due.id ELSE due.order_id END,
           CASE WHEN fact.n = 5 THEN due.version + 1 ELSE fact.n END, due.customer_id, due.shard,
           CASE
               WHEN fact.n IN (1, 2) THEN jsonb_build_object(
                   'order_id', order_id, 'customer_id', customer_id, 'status', CASE fact.n WHEN 1 THEN 'pending' ELSE 'paid' END,
                   'billing_reason', 'subscription_cycle', 'product_id', product_id, 'product_title', product_title,
                   'price_id', price_id, 'kind', 'subscription', 'provider', provider, 'subscription_id', id,
                   'amount', jsonb_build_object('minor', amount_minor, 'currency', currency),
                   'period_start', starts_at, 'period_end', ends_at, 'payment_id', payment_id, 'paid_at', now_)
               WHEN fact.n = 3 THEN jsonb_build_object(
                   'order_id', order_id, 'payment_id', payment_id, 'customer_id', customer_id, 'provider', provider,
                   'status', 'succeeded', 'amount', jsonb_build_object('minor', amount_minor, 'currency', currency),
                   'product_title', product_title, 'subscription_id', id)
               WHEN fact.n = 4 THEN jsonb_build_object(
                   'entitlement_id', entitlement_id, 'order_id', order_id, 'customer_id', customer_id,
                   'product_id', product_id, 'kind', 'subscription', 'status', 'active', 'starts_at', starts_at,
                   'ends_at', ends_at)
               ELSE jsonb_build_object(
                   'subscription_id', id, 'customer_id', customer_id, 'product_id', product_id,
                   'product_title', product_title, 'status', 'active', 'auto_renew', auto_renew, 'period_n', due.n,
                   'period_start', starts_at, 'period_end', ends_at,
                   'amount', jsonb_build_object('minor', amount_minor, 'currency', currency), 'trial_end', NULL)
           END, now_, now_
    FROM due, (VALUES (1, 'order.created'), (2, 'order.paid'), (3, 'payment.succeeded'), (4, 'entitlement.granted'),
                      (5, 'subscription.renewed')) AS fact (n, name)
)
UPDATE subscriptions s SET status = 'active', period_n = due.n, period_start = due.starts_at, period_end = due.ends_at,
    next_action_at = due.ends_at, version = s.version + 1
FROM due WHERE s.id = due.id
