"""One trial of a plan per customer and per card; why an order was canceled."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE trials (
            product_id text COLLATE "C" NOT NULL,
            identity text COLLATE "C" NOT NULL,
            customer_id text COLLATE "C" NOT NULL,
            order_id text COLLATE "C" NOT NULL,
            used_at timestamptz NOT NULL,
            PRIMARY KEY (product_id, identity)
        )
        """
    )
    op.execute("CREATE INDEX trials_by_order ON trials (order_id)")
    op.execute('ALTER TABLE payment_methods ADD COLUMN card_key text COLLATE "C"')
    op.execute('ALTER TABLE orders ADD COLUMN cancel_reason text COLLATE "C"')
    op.execute(
        "ALTER TABLE orders ADD CONSTRAINT orders_cancel_reason_known CHECK (cancel_reason IN ('trial_used'))"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE orders DROP COLUMN cancel_reason")
    op.execute("ALTER TABLE payment_methods DROP COLUMN card_key")
    op.execute("DROP TABLE trials")
