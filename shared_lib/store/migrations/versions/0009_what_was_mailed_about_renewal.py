"""How often auto_renew was changed, and what the last mail about it said."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE subscriptions
            ADD COLUMN auto_renew_changes integer DEFAULT 0 NOT NULL,
            ADD COLUMN auto_renew_told boolean DEFAULT true NOT NULL
        """
    )
    # Until now each change was mailed at once.
    op.execute("UPDATE subscriptions SET auto_renew_told = false WHERE NOT auto_renew")


def downgrade() -> None:
    op.execute("ALTER TABLE subscriptions DROP COLUMN auto_renew_told, DROP COLUMN auto_renew_changes")
