"""The schema, one class per table, no behaviour. Read it as prose; Alembic migrates it; doors never import it."""

from sqlmodel import SQLModel

from shared_lib.store.tables.catalog import CustomerRow, PaymentMethodRow, PriceRow, ProductRow
from shared_lib.store.tables.messages import (
    DeadLetterRow,
    IdempotencyKeyRow,
    InboxRow,
    NotificationRow,
    OutboxRow,
    RepairRow,
    SetAsideRow,
    TestClockRow,
)
from shared_lib.store.tables.money import LedgerEntryRow, OrderRow, PaymentRow, RefundRow
from shared_lib.store.tables.subscriptions import EntitlementRow, SubscriptionRow, TrialRow

metadata = SQLModel.metadata

__all__ = [
    "CustomerRow",
    "DeadLetterRow",
    "EntitlementRow",
    "IdempotencyKeyRow",
    "InboxRow",
    "LedgerEntryRow",
    "NotificationRow",
    "OrderRow",
    "OutboxRow",
    "PaymentMethodRow",
    "PaymentRow",
    "PriceRow",
    "ProductRow",
    "RefundRow",
    "RepairRow",
    "SetAsideRow",
    "SubscriptionRow",
    "TestClockRow",
    "TrialRow",
    "metadata",
]
