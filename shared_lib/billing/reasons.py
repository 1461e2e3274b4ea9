"""Which file answers for which billing reason. No other module asks what an order is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared_lib.billing.reason import Reason
from shared_lib.billing.renewals import RENEWALS
from shared_lib.billing.starts import STARTS
from shared_lib.billing.titles import TITLES
from shared_lib.domain.order import BillingReason, Order

REASONS: Final[Mapping[BillingReason, Reason]] = {
    BillingReason.PURCHASE: TITLES,
    BillingReason.RENTAL: TITLES,
    BillingReason.SUBSCRIPTION_CREATE: STARTS,
    BillingReason.SUBSCRIPTION_CYCLE: RENEWALS,
    # No order of this reason is opened yet: its money would be that of one more period.
    BillingReason.SUBSCRIPTION_UPDATE: RENEWALS,
}


def reason_of(order: Order) -> Reason:
    """The answers for what the order is for."""
    return REASONS[order.billing_reason]
