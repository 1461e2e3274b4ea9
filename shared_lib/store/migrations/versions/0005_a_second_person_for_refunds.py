"""A refund above what one operator may give back alone waits for a second one."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BEFORE = "'requested', 'sending', 'pending', 'succeeded', 'failed', 'unknown'"


def upgrade() -> None:
    op.execute(
        'ALTER TABLE refunds ADD COLUMN decided_by text COLLATE "C", ADD COLUMN decided_at timestamptz'
    )
    op.execute("ALTER TABLE refunds DROP CONSTRAINT refunds_status_known")
    op.execute(
        "ALTER TABLE refunds ADD CONSTRAINT refunds_status_known"
        f" CHECK (status IN ('awaiting_approval', 'rejected', {_BEFORE}))"
    )
    op.execute(
        "ALTER TABLE refunds ADD CONSTRAINT refunds_approved_by_another"
        " CHECK (decided_by IS NULL OR decided_by <> requested_by OR status = 'rejected')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE refunds DROP CONSTRAINT refunds_approved_by_another")
    op.execute("ALTER TABLE refunds DROP CONSTRAINT refunds_status_known")
    op.execute(f"ALTER TABLE refunds ADD CONSTRAINT refunds_status_known CHECK (status IN ({_BEFORE}))")
    op.execute("ALTER TABLE refunds DROP COLUMN decided_at, DROP COLUMN decided_by")
