"""Webhooks about payments that no order asked for are counted without reading all that were settled."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX inbox_orphaned ON inbox (received_at) WHERE status = 'orphaned'")


def downgrade() -> None:
    op.execute("DROP INDEX inbox_orphaned")
