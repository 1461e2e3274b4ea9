"""A title is owned once: at most one order holds the place of a customer for a product and kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Of several orders for the same thing the one that gives access has the place, else the one that was made first. The others
# go on as they are; what is still paid for them is late money and goes back.
_HOLDERS = """
    UPDATE orders SET holds = true
    FROM (
        SELECT DISTINCT ON (o.customer_id, o.product_id, o.kind) o.id
        FROM orders o
        LEFT JOIN entitlements e ON e.order_id = o.id AND e.status = 'active'
            AND (e.ends_at IS NULL OR e.ends_at > boxoffice_now())
        LEFT JOIN subscriptions s ON s.id = o.subscription_id
            AND s.status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')
        WHERE o.billing_reason IN ('purchase', 'rental', 'subscription_create')
          AND (o.status = 'pending' OR (o.kind = 'subscription' AND s.id IS NOT NULL)
               OR (o.kind <> 'subscription' AND e.id IS NOT NULL))
        ORDER BY o.customer_id, o.product_id, o.kind, o.status = 'pending', o.id
    ) AS holder
    WHERE orders.id = holder.id
"""


def upgrade() -> None:
    op.add_column("orders", sa.Column("holds", sa.Boolean, nullable=False, server_default="false"))
    op.execute(_HOLDERS)
    op.create_index(
        "orders_one_holder",
        "orders",
        ["customer_id", "product_id", "kind"],
        unique=True,
        postgresql_where=sa.text("holds"),
    )


def downgrade() -> None:
    op.drop_index("orders_one_holder", "orders")
    op.drop_column("orders", "holds")
