-- What each role may do. Applied by the owner after every migration, in one transaction: first everything is taken away,
-- then given again, so this file is the whole truth. docs/roles.md shows it as a table; a test compares that table with a
-- migrated database, so a new table needs a line here and a row there.

DO $$ BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO boxoffice_door, boxoffice_relay, boxoffice_support, boxoffice_operator',
                   current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO boxoffice_door, boxoffice_relay, boxoffice_support, boxoffice_operator;

REVOKE ALL ON ALL TABLES IN SCHEMA public
    FROM PUBLIC, boxoffice_door, boxoffice_relay, boxoffice_support, boxoffice_operator;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public
    FROM PUBLIC, boxoffice_door, boxoffice_relay, boxoffice_support, boxoffice_operator;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public
    FROM PUBLIC, boxoffice_door, boxoffice_relay, boxoffice_support, boxoffice_operator;

GRANT EXECUTE ON FUNCTION boxoffice_now() TO boxoffice_door, boxoffice_relay, boxoffice_support, boxoffice_operator;
GRANT EXECUTE ON FUNCTION id_address(text) TO boxoffice_door; -- the index of orders that keeps periods apart calls it
GRANT SELECT ON test_clock TO boxoffice_door, boxoffice_relay, boxoffice_support, boxoffice_operator;
GRANT SELECT ON alembic_version TO boxoffice_door, boxoffice_support, boxoffice_operator;

-- ---- doors -----------------------------------------------------------------------------------------------------------
GRANT SELECT ON products, prices TO boxoffice_door;
GRANT SELECT, INSERT ON ledger_entries TO boxoffice_door; -- only ever added to
GRANT SELECT, INSERT ON outbox TO boxoffice_door;
GRANT SELECT, INSERT, UPDATE
    ON customers, entitlements, notifications, orders, payment_methods, payments, refunds, subscriptions
    TO boxoffice_door;
GRANT DELETE ON notifications TO boxoffice_door; -- after the days that the settings say, as the two below
GRANT SELECT, DELETE ON dead_letters TO boxoffice_door;
GRANT SELECT (id, made_at), DELETE ON repairs TO boxoffice_door; -- a trigger refuses those of the last year
GRANT SELECT, INSERT, DELETE ON trials TO boxoffice_door; -- deleted when a trial does not begin after all
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys, inbox, set_aside TO boxoffice_door; -- kept for hours and days only

-- ---- relay: the outbox and its dead letters ----------------------------------------------------------------------------
GRANT SELECT, DELETE ON outbox TO boxoffice_relay;
GRANT UPDATE (available_at, attempts) ON outbox TO boxoffice_relay;
GRANT SELECT ON SEQUENCE outbox_id_seq TO boxoffice_relay; -- how far ids have come (queries/floor.py)
GRANT INSERT ON dead_letters TO boxoffice_relay;

-- ---- support: looks, and changes nothing. No person reads the answers that are kept for a key -----------------------------
GRANT SELECT
    ON customers, dead_letters, entitlements, inbox, ledger_entries, notifications, orders, outbox, payment_methods,
       payments, prices, products, refunds, repairs, set_aside, subscriptions, trials
    TO boxoffice_support, boxoffice_operator;

-- ---- operator: support, and what the verbs of `boxoffice` that sell and repair write ----------------------------------------
GRANT INSERT ON products, prices, outbox, repairs TO boxoffice_operator; -- operators only add to repairs
GRANT UPDATE (sellable_until) ON prices TO boxoffice_operator;
GRANT UPDATE (replayed_at, dismissed_at) ON dead_letters TO boxoffice_operator;
GRANT UPDATE (status, detail) ON notifications TO boxoffice_operator; -- to have a mail sent again
