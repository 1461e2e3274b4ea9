"""Rows that could not be decided are set aside, so that all others go on."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE set_aside (
            kind text COLLATE "C" NOT NULL,
            id text COLLATE "C" NOT NULL,
            reason text COLLATE "C" NOT NULL,
            attempts integer NOT NULL,
            set_aside_at timestamptz NOT NULL,
            next_try_at timestamptz NOT NULL,
            PRIMARY KEY (kind, id),
            CONSTRAINT set_aside_kind_known CHECK (kind IN ('subscription', 'payment', 'refund', 'message'))
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE set_aside")
