"""`boxoffice explain` says why a provider gave no answer, and reads by indexes what grows: mails, webhooks, addresses, repairs."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("payments", "refunds"):
        op.execute(
            f'ALTER TABLE {table} ADD COLUMN last_failure text COLLATE "C", ADD COLUMN last_failure_at timestamptz'
        )
    op.execute(
        "CREATE INDEX payments_with_surplus ON payments (id) WHERE surplus OR captured_minor > amount_minor"
    )
    op.execute("CREATE INDEX customers_by_email ON customers (lower(email))")
    op.execute("CREATE INDEX inbox_by_payment ON inbox (about) WHERE about IS NOT NULL")
    op.execute("CREATE INDEX notifications_by_customer ON notifications (customer_id, id)")
    op.execute("CREATE INDEX notifications_not_sent ON notifications (status, id) WHERE status <> 'sent'")
    op.execute("CREATE INDEX dead_letters_by_subject ON dead_letters ((headers ->> 'subject'))")
    op.execute("DROP INDEX repairs_by_target")
    op.execute("CREATE INDEX repairs_by_target ON repairs (target, id)")


def downgrade() -> None:
    op.execute("DROP INDEX repairs_by_target")
    op.execute("CREATE INDEX repairs_by_target ON repairs (target)")
    op.execute("DROP INDEX dead_letters_by_subject")
    op.execute("DROP INDEX notifications_not_sent")
    op.execute("DROP INDEX notifications_by_customer")
    op.execute("DROP INDEX inbox_by_payment")
    op.execute("DROP INDEX customers_by_email")
    op.execute("DROP INDEX payments_with_surplus")
    for table in ("refunds", "payments"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN last_failure, DROP COLUMN last_failure_at")
