"""The first schema, as SQL beside this file."""

from __future__ import annotations

from alembic import op

from shared_lib.store.migrations.sql import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0001_the_first_schema.sql")


def downgrade() -> None:
    op.execute(
        """
        DROP TABLE refunds, ledger_entries, entitlements, payments, orders, subscriptions, payment_methods, prices,
            products, customers, notifications, inbox, outbox, dead_letters, idempotency_keys, test_clock
        """
    )
