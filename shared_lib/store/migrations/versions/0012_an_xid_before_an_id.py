"""A transaction has its xid before it takes an id of the outbox, so that relays need not read what was delivered long ago."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # An INSERT takes the ids of its rows before it writes the first of them, which is when PostgreSQL gives a transaction
    # its xid. The trigger of a statement runs before both. Creating it waits for transactions that have written to the outbox.
    op.execute(
        """
        CREATE FUNCTION xid_before_id() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_current_xact_id(); RETURN NULL; END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER outbox_xid_before_id BEFORE INSERT ON outbox
        FOR EACH STATEMENT EXECUTE FUNCTION xid_before_id()
        """
    )
    op.execute("ALTER TABLE outbox ENABLE ALWAYS TRIGGER outbox_xid_before_id")  # in a restore too


def downgrade() -> None:
    op.execute("DROP TRIGGER outbox_xid_before_id ON outbox")
    op.execute("DROP FUNCTION xid_before_id()")
