-- The provider's own state. Instants are microseconds of the sandbox's clock unless a name says otherwise.

CREATE TABLE IF NOT EXISTS settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL  -- JSON
) STRICT;

CREATE TABLE IF NOT EXISTS payments (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,  -- the cursor of lists
    id              TEXT NOT NULL UNIQUE,
    face            TEXT NOT NULL DEFAULT 'native',
    flow            TEXT NOT NULL CHECK (flow IN ('checkout', 'charge')),
    status          TEXT NOT NULL CHECK (status IN
                      ('pending', 'action_required', 'succeeded', 'declined', 'canceled', 'expired')),
    amount_minor    INTEGER NOT NULL CHECK (amount_minor >= 0),
    currency        TEXT NOT NULL,
    captured_minor  INTEGER NOT NULL DEFAULT 0 CHECK (captured_minor >= 0),
    refunded_minor  INTEGER NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    their_payment   TEXT,            -- metadata.payment_id, by which the merchant finds it
    their_order     TEXT,            -- metadata.order_id
    request         TEXT NOT NULL,   -- JSON: the request
    card            TEXT,            -- slug of the charged test card, never its number
    method_id       TEXT,
    decline_code    TEXT,
    attempts        TEXT NOT NULL DEFAULT '{}',  -- JSON: card slug -> attempts on the page
    processing_until INTEGER,        -- when the answer of a slow card is due
    authorized_until INTEGER,        -- the card has approved; the merchant captures before then
    expires_at      INTEGER,
    created_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS payments_by_their_payment ON payments (their_payment);
CREATE INDEX IF NOT EXISTS payments_open ON payments (status) WHERE status IN ('pending', 'action_required');
CREATE INDEX IF NOT EXISTS payments_by_creation ON payments (created_at);

CREATE TABLE IF NOT EXISTS refunds (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    payment        TEXT NOT NULL REFERENCES payments (id),
    amount_minor   INTEGER NOT NULL CHECK (amount_minor > 0),
    currency       TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    failure_reason TEXT,
    their_refund   TEXT,           -- metadata.refund_id
    request        TEXT NOT NULL,
    next_status    TEXT,           -- the status it gets at due_at
    due_at         INTEGER,
    created_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS refunds_by_payment ON refunds (payment);
CREATE INDEX IF NOT EXISTS refunds_by_their_refund ON refunds (their_refund);
CREATE INDEX IF NOT EXISTS refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS methods (
    id          TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL,
    card        TEXT NOT NULL,     -- slug of the test card
    expires     TEXT NOT NULL,     -- YYYY-MM
    face        TEXT NOT NULL DEFAULT 'native',
    charges     INTEGER NOT NULL DEFAULT 0,
    scripted    TEXT NOT NULL DEFAULT '[]',  -- JSON: decline codes of the next charges, null approves
    created_at  INTEGER NOT NULL,
    deleted_at  INTEGER
) STRICT;

-- Each row is one balanced double entry, so none can be half written. Rows are never changed.
CREATE TABLE IF NOT EXISTS entries (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    debit        TEXT NOT NULL,
    credit       TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency     TEXT NOT NULL,
    payment      TEXT NOT NULL REFERENCES payments (id),
    refund       TEXT REFERENCES refunds (id),
    at           INTEGER NOT NULL,
    CHECK (debit <> credit)
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_payment ON entries (payment);
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'entries stay'); END;
CREATE TRIGGER IF NOT EXISTS entries_live BEFORE DELETE ON entries BEGIN SELECT raise(ABORT, 'entries stay'); END;

CREATE TABLE IF NOT EXISTS answers (
    key        TEXT PRIMARY KEY,
    asked      TEXT NOT NULL,      -- hash of method, path and body
    status     INTEGER NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS faults (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    spec      TEXT NOT NULL,       -- JSON
    remaining INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS endpoints (
    id      INTEGER PRIMARY KEY,
    url     TEXT NOT NULL UNIQUE,
    secret  TEXT NOT NULL,
    face    TEXT NOT NULL DEFAULT 'native',
    enabled INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE IF NOT EXISTS events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    face       TEXT NOT NULL DEFAULT 'native',
    type       TEXT NOT NULL,
    body       TEXT NOT NULL,      -- the bytes that are sent and signed
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS deliveries (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    event       TEXT NOT NULL REFERENCES events (id),
    endpoint    INTEGER NOT NULL REFERENCES endpoints (id),
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'dropped', 'delivered', 'given_up')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_wall_s  REAL NOT NULL,     -- wall clock: retries do not follow the simulated time
    last_answer TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (due_wall_s) WHERE state = 'waiting';
