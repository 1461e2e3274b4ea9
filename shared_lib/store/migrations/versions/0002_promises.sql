-- What the database itself promises, whoever connects to it.

-- The instant of this transaction. Leases and due dates use the database's clock, never a function's own; in a test
-- or a demo the clock can be run ahead by one row.
CREATE FUNCTION boxoffice_now() RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT now() + coalesce((SELECT ahead FROM test_clock), interval '0') $$;

-- The ledger is only ever added to. A mistake is corrected by another entry.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the ledger is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation'; END $$;

CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_is_never_emptied BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A price never changes; only the end of its sale may be set.
CREATE FUNCTION keep_price() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    IF (OLD.id, OLD.product_id, OLD.kind, OLD.amount_minor, OLD.currency, OLD.interval_unit, OLD.interval_count,
        OLD.trial_days, OLD.sellable_from)
       IS DISTINCT FROM
       (NEW.id, NEW.product_id, NEW.kind, NEW.amount_minor, NEW.currency, NEW.interval_unit, NEW.interval_count,
        NEW.trial_days, NEW.sellable_from) THEN
        RAISE EXCEPTION 'a price is immutable: make a new one' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER prices_are_immutable BEFORE UPDATE ON prices FOR EACH ROW EXECUTE FUNCTION keep_price();

-- Periods of one subscription never overlap. GiST needs an operator class for the id; btree_gist is an extension that
-- not every server has, so the id is compared by its 128-bit digest, in the one core type GiST can index by equality.
CREATE FUNCTION id_address(id text) RETURNS inet LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN regexp_replace(md5(id), '(....)(?!$)', '\1:', 'g')::inet;

ALTER TABLE orders ADD CONSTRAINT orders_periods_do_not_overlap
    EXCLUDE USING gist (id_address(subscription_id) inet_ops WITH =, tstzrange(period_start, period_end) WITH &&)
    WHERE (subscription_id IS NOT NULL AND period_n IS NOT NULL);
