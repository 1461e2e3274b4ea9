"""Replies take a quarter of their bytes; dismissed dead letters leave the index of those that wait; repairs are kept for a year."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Beside the columns of before: an image of before finds no reply of ours there and goes on with what the key made.
    op.execute("ALTER TABLE idempotency_keys ADD COLUMN reply bytea")
    op.execute("ALTER TABLE idempotency_keys SET (fillfactor = 50)")
    op.execute("DROP INDEX dead_letters_waiting")
    op.execute(
        "CREATE INDEX dead_letters_waiting ON dead_letters (dead_at) WHERE replayed_at IS NULL AND dismissed_at IS NULL"
    )
    op.execute(
        """
        CREATE FUNCTION keep_repair() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            IF OLD.made_at > boxoffice_now() - interval '1 year' THEN
                RAISE EXCEPTION 'a repair is kept for a year' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN OLD;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER repairs_are_kept BEFORE DELETE ON repairs FOR EACH ROW EXECUTE FUNCTION keep_repair()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER repairs_are_kept ON repairs")
    op.execute("DROP FUNCTION keep_repair()")
    op.execute("DROP INDEX dead_letters_waiting")
    op.execute("CREATE INDEX dead_letters_waiting ON dead_letters (dead_at) WHERE replayed_at IS NULL")
    op.execute("ALTER TABLE idempotency_keys SET (fillfactor = 40)")
    op.execute("ALTER TABLE idempotency_keys DROP COLUMN reply")
