-- The provider has charged one renewal: payment, order, ledger entry, access, subscription and four facts. One commit.
WITH locked AS MATERIALIZED (SELECT id FROM subscriptions WHERE id = %(subscription_id)s FOR UPDATE),
settled AS (
    UPDATE payments p SET status = 'succeeded', provider_ref = %(ref)s, captured_minor = %(captured)s,
        next_check_at = NULL, lease_until = NULL
    FROM locked WHERE p.id = %(payment_id)s AND p.status = 'sending'
    RETURNING p.*
),
paid AS (
    UPDATE orders o SET status = 'paid', paid_payment_id = settled.id, paid_at = boxoffice_now(), version = o.version + 3
    FROM settled WHERE o.id = settled.order_id
    RETURNING o.*, settled.captured_minor, 'ent_' || uuidv7() AS entitlement_id
),
entered AS (
    INSERT INTO ledger_entries (source_kind, source_id, leg, order_id, debit, credit, amount_minor, currency, entered_at)
    SELECT 'payment', paid_payment_id, 'captured', id, 'provider:' || provider, 'revenue', captured_minor, currency, paid_at
    FROM paid
),
granted AS (
    INSERT INTO entitlements (id, customer_id, product_id, order_id, subscription_id, kind, status, starts_at, ends_at)
    SELECT entitlement_id, customer_id, product_id, id, subscription_id, kind, 'active', period_start, period_end FROM paid
),
renewed AS (
    UPDATE subscriptions s SET status = 'active', period_n = paid.period_n, period_start = paid.period_start,
        period_end = paid.period_end, open_order_id = NULL, next_action_at = paid.period_end, version = s.version + 1
    FROM paid WHERE s.id = paid.subscription_id
    RETURNING s.*
)
INSERT INTO outbox (event_id, topic, type, subject, sequence, partition_key, shard, data, created_at, available_at)
SELECT 'evt_' || uuidv7(), 'billing.events', 'billing.' || fact.name,
       CASE WHEN fact.n = 5 THEN s.id ELSE o.id END, CASE WHEN fact.n = 5 THEN s.version ELSE fact.n END, o.customer_id,
       abs(hashtext(o.customer_id)) %% 12,
       CASE
           WHEN fact.n = 2 THEN jsonb_build_object(
               'order_id', o.id, 'customer_id', o.customer_id, 'status', o.status, 'billing_reason', o.billing_reason,
               'product_id', o.product_id, 'product_title', o.product_title, 'price_id', o.price_id, 'kind', o.kind,
               'provider', o.provider, 'subscription_id', s.id,
               'amount', jsonb_build_object('minor', o.amount_minor, 'currency', o.currency),
               'period_start', o.period_start, 'period_end', o.period_end, 'payment_id', o.paid_payment_id,
               'paid_at', o.paid_at, 'trial', false)
           WHEN fact.n = 3 THEN jsonb_build_object(
               'order_id', o.id, 'payment_id', o.paid_payment_id, 'customer_id', o.customer_id, 'provider', o.provider,
               'status', 'succeeded', 'amount', jsonb_build_object('minor', o.amount_minor, 'currency', o.currency),
               'product_title', o.product_title, 'subscription_id', s.id)
           WHEN fact.n = 4 THEN jsonb_build_object(
               'entitlement_id', o.entitlement_id, 'order_id', o.id, 'customer_id', o.customer_id,
               'product_id', o.product_id, 'kind', o.kind, 'status', 'active', 'starts_at', o.period_start,
               'ends_at', o.period_end)
           ELSE jsonb_build_object(
               'subscription_id', s.id, 'customer_id', s.customer_id, 'product_id', s.product_id,
               'product_title', s.product_title, 'status', s.status, 'auto_renew', s.auto_renew, 'period_n', s.period_n,
               'period_start', s.period_start, 'period_end', s.period_end,
               'amount', jsonb_build_object('minor', s.amount_minor, 'currency', s.currency), 'trial_end', NULL)
       END, o.paid_at, o.paid_at
FROM paid o JOIN renewed s ON s.id = o.subscription_id,
     (VALUES (2, 'order.paid'), (3, 'payment.succeeded'), (4, 'entitlement.granted'), (5, 'subscription.renewed'))
         AS fact (n, name)
