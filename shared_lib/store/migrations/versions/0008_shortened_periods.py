"""Where a period ended before refunds shortened it; and one row per refund of a provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("full_period_end", sa.DateTime(timezone=True)))
    op.create_index(
        "refunds_one_per_provider_ref",
        "refunds",
        ["payment_id", "provider_ref"],
        unique=True,
        postgresql_where=sa.text("provider_ref IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("refunds_one_per_provider_ref", "refunds")
    op.drop_column("orders", "full_period_end")
