"""Repairs by operators are recorded; a mail can be sent again; a dead letter can be dismissed; the instant of an opt-out is kept."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE repairs (
            id text COLLATE "C" NOT NULL PRIMARY KEY,
            made_at timestamptz NOT NULL,
            made_by text COLLATE "C" NOT NULL,
            verb text COLLATE "C" NOT NULL,
            target text COLLATE "C" NOT NULL,
            because text COLLATE "C"
        )
        """
    )
    op.execute("CREATE INDEX repairs_by_target ON repairs (target)")
    op.execute("ALTER TABLE notifications ADD COLUMN data jsonb")
    op.execute("ALTER TABLE dead_letters ADD COLUMN dismissed_at timestamptz")
    op.execute('ALTER TABLE inbox ADD COLUMN about text COLLATE "C"')
    op.execute("ALTER TABLE subscriptions ADD COLUMN auto_renew_changed_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE subscriptions DROP COLUMN auto_renew_changed_at")
    op.execute("ALTER TABLE inbox DROP COLUMN about")
    op.execute("ALTER TABLE dead_letters DROP COLUMN dismissed_at")
    op.execute("ALTER TABLE notifications DROP COLUMN data")
    op.execute("DROP TABLE repairs")
