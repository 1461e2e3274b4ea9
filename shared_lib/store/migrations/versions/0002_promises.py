"""What the database itself promises, beyond tables and indexes: SQL beside this file."""

from __future__ import annotations

from alembic import op

from shared_lib.store.migrations.sql import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0002_promises.sql")


def downgrade() -> None:
    op.execute("ALTER TABLE orders DROP CONSTRAINT orders_periods_do_not_overlap")
    op.execute("DROP TRIGGER ledger_is_append_only ON ledger_entries")
    op.execute("DROP TRIGGER ledger_is_never_emptied ON ledger_entries")
    op.execute("DROP TRIGGER prices_are_immutable ON prices")
    op.execute("DROP FUNCTION refuse_change(), keep_price(), boxoffice_now(), id_address(text)")
