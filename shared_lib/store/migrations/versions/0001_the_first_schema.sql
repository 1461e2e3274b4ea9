-- The first schema. Later migrations are Python files beside this one; the classes in store/tables say the same,
-- and a test proves that they agree. What the database itself promises is in 0002_promises.sql.

-- Whom to write to, and on whose clock periods are counted. The id is the `sub` of the Auth service.
CREATE TABLE customers (
    id TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C",
    locale TEXT COLLATE "C" DEFAULT 'en' NOT NULL,
    time_zone TEXT COLLATE "C" DEFAULT 'UTC' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);


-- An event nobody could take, whole, with the reason; replayable.
CREATE TABLE dead_letters (
    id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C",
    topic TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C",
    partition_key TEXT COLLATE "C" NOT NULL,
    headers JSONB NOT NULL,
    body BYTEA NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    dead_at TIMESTAMP WITH TIME ZONE NOT NULL,
    replayed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);

CREATE INDEX dead_letters_waiting ON dead_letters (dead_at) WHERE replayed_at IS NULL;

-- The promise "one key, one effect". The key space is per customer and route; kept 72 hours.
CREATE TABLE idempotency_keys (
    customer_id TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    resource_id TEXT COLLATE "C",
    locked_until TIMESTAMP WITH TIME ZONE NOT NULL,
    reply_status INTEGER,
    reply_body BYTEA,
    reply_location TEXT COLLATE "C",
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (customer_id, route, key)
);

CREATE INDEX idempotency_keys_to_forget ON idempotency_keys (expires_at);

-- Messages already taken: a duplicate is dropped in the transaction of its effect.
CREATE TABLE inbox (
    source TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    payload JSONB,
    attempts INTEGER DEFAULT '0' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    next_try_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (source, event_id),
    CONSTRAINT inbox_status_known CHECK (status IN ('done', 'parked', 'orphaned'))
);

CREATE INDEX inbox_parked ON inbox (next_try_at) WHERE status = 'parked';
CREATE INDEX inbox_to_forget ON inbox (received_at) WHERE status = 'done';

-- Only ever added to: UPDATE, DELETE and TRUNCATE are refused by triggers.
CREATE TABLE ledger_entries (
    source_kind TEXT COLLATE "C" NOT NULL,
    source_id TEXT COLLATE "C" NOT NULL,
    leg TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    debit TEXT COLLATE "C" NOT NULL,
    credit TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    entered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (source_kind, source_id, leg),
    CONSTRAINT ledger_entries_source_kind_known CHECK (source_kind IN ('payment', 'refund')),
    CONSTRAINT ledger_entries_amount_positive CHECK (amount_minor > 0),
    CONSTRAINT ledger_entries_two_accounts CHECK (debit <> credit)
);

CREATE INDEX ledger_entries_by_order ON ledger_entries (order_id);

-- One message to one customer about one event.
CREATE TABLE notifications (
    id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    event_type TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C",
    attempts INTEGER DEFAULT '0' NOT NULL,
    locked_until TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT notifications_status_known CHECK (status IN ('sending', 'sent', 'failed', 'refused', 'unknown', 'skipped'))
);

CREATE UNIQUE INDEX notifications_once ON notifications (event_id, customer_id);

-- What the relay must deliver, written in the transaction that made it true. Deleted once acknowledged.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    event_id TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    sequence INTEGER,
    partition_key TEXT COLLATE "C" NOT NULL,
    shard SMALLINT NOT NULL,
    data JSONB NOT NULL,
    traceparent TEXT COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    available_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (id)
)
 WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX outbox_retrying ON outbox (topic, partition_key) WHERE attempts > 0;

-- A provider's token with what may be shown of it. Never card data.
CREATE TABLE payment_methods (
    id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    provider_ref TEXT COLLATE "C" NOT NULL,
    provider_customer_ref TEXT COLLATE "C",
    brand TEXT COLLATE "C",
    last4 TEXT COLLATE "C",
    expires TEXT COLLATE "C",
    usable BOOLEAN DEFAULT 'true' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);

CREATE INDEX payment_methods_by_customer ON payment_methods (customer_id, id);
CREATE UNIQUE INDEX payment_methods_one_token ON payment_methods (provider, provider_ref);

-- A title, or a plan.
CREATE TABLE products (
    id TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);


-- How far the test clock runs ahead. Empty in production, where a row here refuses to start.
CREATE TABLE test_clock (
    one BOOLEAN NOT NULL,
    ahead INTERVAL NOT NULL,
    PRIMARY KEY (one),
    CONSTRAINT test_clock_single CHECK (one)
);


-- Immutable: a change of price is a new row and an end to the old one's sellable window.
CREATE TABLE prices (
    id TEXT COLLATE "C" NOT NULL,
    product_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    interval_unit TEXT COLLATE "C",
    interval_count INTEGER,
    trial_days INTEGER DEFAULT '0' NOT NULL,
    sellable_from TIMESTAMP WITH TIME ZONE NOT NULL,
    sellable_until TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT prices_kind_known CHECK (kind IN ('purchase', 'rental', 'subscription')),
    CONSTRAINT prices_interval_unit_known CHECK (interval_unit IN ('day', 'week', 'month', 'year')),
    CONSTRAINT prices_amount_not_negative CHECK (amount_minor >= 0),
    CONSTRAINT prices_interval_iff_subscription CHECK ((kind = 'subscription') = (interval_unit IS NOT NULL AND interval_count IS NOT NULL)),
    CONSTRAINT prices_trial_only_subscription CHECK (trial_days = 0 OR kind = 'subscription'),
    FOREIGN KEY(product_id) REFERENCES products (id) ON DELETE RESTRICT
);

CREATE INDEX prices_by_product ON prices (product_id);

-- The root of its orders and payments: locked first. `next_action_at` is when the renewal tick looks at it.
CREATE TABLE subscriptions (
    id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    product_id TEXT COLLATE "C" NOT NULL,
    product_title TEXT COLLATE "C" NOT NULL,
    price_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    interval_unit TEXT COLLATE "C" NOT NULL,
    interval_count INTEGER NOT NULL,
    time_zone TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    auto_renew BOOLEAN DEFAULT 'true' NOT NULL,
    trial_days INTEGER DEFAULT '0' NOT NULL,
    anchor_at TIMESTAMP WITH TIME ZONE,
    anchor_n INTEGER DEFAULT '0' NOT NULL,
    period_n INTEGER DEFAULT '0' NOT NULL,
    period_start TIMESTAMP WITH TIME ZONE,
    period_end TIMESTAMP WITH TIME ZONE,
    payment_method_id TEXT COLLATE "C",
    open_order_id TEXT COLLATE "C",
    past_due_at TIMESTAMP WITH TIME ZONE,
    next_retry_at TIMESTAMP WITH TIME ZONE,
    next_action_at TIMESTAMP WITH TIME ZONE,
    version INTEGER DEFAULT '0' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT subscriptions_status_known CHECK (status IN ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'suspended', 'paused', 'canceled')),
    CONSTRAINT subscriptions_interval_unit_known CHECK (interval_unit IN ('day', 'week', 'month', 'year')),
    CONSTRAINT subscriptions_period_forward CHECK (period_start < period_end),
    FOREIGN KEY(price_id) REFERENCES prices (id) ON DELETE RESTRICT,
    FOREIGN KEY(payment_method_id) REFERENCES payment_methods (id) ON DELETE RESTRICT
)
 WITH (fillfactor = 80);

CREATE INDEX subscriptions_by_customer ON subscriptions (customer_id, id);
CREATE INDEX subscriptions_due ON subscriptions (next_action_at, id) WHERE next_action_at IS NOT NULL;
CREATE UNIQUE INDEX subscriptions_one_live_per_product ON subscriptions (customer_id, product_id) WHERE status IN ('active', 'past_due', 'paused', 'suspended', 'trialing');

-- What was asked for, at the catalog's price of that moment. `version` numbers its events.
CREATE TABLE orders (
    id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    price_id TEXT COLLATE "C" NOT NULL,
    product_id TEXT COLLATE "C" NOT NULL,
    product_title TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    billing_reason TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    return_url TEXT COLLATE "C" NOT NULL,
    subscription_id TEXT COLLATE "C",
    period_n INTEGER,
    period_start TIMESTAMP WITH TIME ZONE,
    period_end TIMESTAMP WITH TIME ZONE,
    paid_payment_id TEXT COLLATE "C",
    paid_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    version INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT orders_status_known CHECK (status IN ('pending', 'paid', 'canceled', 'expired', 'partially_refunded', 'refunded')),
    CONSTRAINT orders_billing_reason_known CHECK (billing_reason IN ('purchase', 'rental', 'subscription_create', 'subscription_cycle', 'subscription_update')),
    CONSTRAINT orders_kind_known CHECK (kind IN ('purchase', 'rental', 'subscription')),
    CONSTRAINT orders_amount_not_negative CHECK (amount_minor >= 0),
    CONSTRAINT orders_period_whole_or_absent CHECK ((period_n IS NULL) = (period_start IS NULL) AND (period_n IS NULL) = (period_end IS NULL)),
    FOREIGN KEY(price_id) REFERENCES prices (id) ON DELETE RESTRICT,
    FOREIGN KEY(subscription_id) REFERENCES subscriptions (id) ON DELETE RESTRICT
)
 WITH (fillfactor = 85);

CREATE INDEX orders_by_customer ON orders (customer_id, id);
CREATE UNIQUE INDEX orders_one_per_period ON orders (subscription_id, period_n) WHERE period_n IS NOT NULL;

-- Access to a product for a window, with the order that paid for it: exactly one per order.
CREATE TABLE entitlements (
    id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    product_id TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    subscription_id TEXT COLLATE "C",
    kind TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE,
    first_played_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT entitlements_status_known CHECK (status IN ('active', 'revoked')),
    CONSTRAINT entitlements_kind_known CHECK (kind IN ('purchase', 'rental', 'subscription')),
    FOREIGN KEY(order_id) REFERENCES orders (id) ON DELETE RESTRICT
);

CREATE INDEX entitlements_by_customer ON entitlements (customer_id, product_id);
CREATE UNIQUE INDEX entitlements_one_per_order ON entitlements (order_id);

-- One attempt to collect one order. `surplus`: the order needs no money of it; what it captures goes back.
CREATE TABLE payments (
    id TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    flow TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    surplus BOOLEAN DEFAULT 'false' NOT NULL,
    attempt INTEGER NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    payment_method_id TEXT COLLATE "C",
    provider_ref TEXT COLLATE "C",
    provider_capture_ref TEXT COLLATE "C",
    checkout_url TEXT COLLATE "C",
    decline_kind TEXT COLLATE "C",
    decline_reason TEXT COLLATE "C",
    captured_minor BIGINT DEFAULT '0' NOT NULL,
    refund_reserved_minor BIGINT DEFAULT '0' NOT NULL,
    refunded_minor BIGINT DEFAULT '0' NOT NULL,
    fence INTEGER DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    first_sent_at TIMESTAMP WITH TIME ZONE,
    checks INTEGER DEFAULT '0' NOT NULL,
    next_check_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT payments_status_known CHECK (status IN ('created', 'sending', 'pending', 'action_required', 'succeeded', 'declined', 'canceled', 'expired', 'unknown')),
    CONSTRAINT payments_flow_known CHECK (flow IN ('checkout', 'charge')),
    CONSTRAINT payments_decline_kind_known CHECK (decline_kind IN ('soft', 'hard', 'action_required')),
    CONSTRAINT payments_amount_not_negative CHECK (amount_minor >= 0),
    CONSTRAINT payments_refunds_within_captured CHECK (refund_reserved_minor >= 0 AND refund_reserved_minor <= captured_minor),
    FOREIGN KEY(order_id) REFERENCES orders (id) ON DELETE RESTRICT,
    FOREIGN KEY(payment_method_id) REFERENCES payment_methods (id) ON DELETE RESTRICT
);

CREATE INDEX payments_by_order ON payments (order_id, attempt);
CREATE UNIQUE INDEX payments_one_live_per_order ON payments (order_id) WHERE NOT surplus AND status IN ('action_required', 'created', 'pending', 'sending', 'succeeded', 'unknown');
CREATE UNIQUE INDEX payments_one_per_provider_ref ON payments (provider, provider_ref) WHERE provider_ref IS NOT NULL;
CREATE INDEX payments_to_check ON payments (next_check_at) WHERE status IN ('action_required', 'created', 'pending', 'sending', 'unknown');

-- One return of part or all of one payment.
CREATE TABLE refunds (
    id TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C" NOT NULL,
    payment_id TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    access TEXT COLLATE "C" NOT NULL,
    surplus BOOLEAN DEFAULT 'false' NOT NULL,
    requested_by TEXT COLLATE "C" NOT NULL,
    provider_ref TEXT COLLATE "C",
    failure_reason TEXT COLLATE "C",
    fence INTEGER DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    first_sent_at TIMESTAMP WITH TIME ZONE,
    checks INTEGER DEFAULT '0' NOT NULL,
    next_check_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT refunds_status_known CHECK (status IN ('requested', 'sending', 'pending', 'succeeded', 'failed', 'unknown')),
    CONSTRAINT refunds_access_known CHECK (access IN ('end_now', 'keep', 'shorten')),
    CONSTRAINT refunds_amount_positive CHECK (amount_minor > 0),
    FOREIGN KEY(order_id) REFERENCES orders (id) ON DELETE RESTRICT,
    FOREIGN KEY(payment_id) REFERENCES payments (id) ON DELETE RESTRICT
);

CREATE INDEX refunds_by_order ON refunds (order_id);
CREATE INDEX refunds_by_payment ON refunds (payment_id);
CREATE INDEX refunds_to_check ON refunds (next_check_at) WHERE status IN ('pending', 'requested', 'sending', 'unknown');
