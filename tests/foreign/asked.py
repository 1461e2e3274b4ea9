"""What is asked of a provider in these tests."""

from __future__ import annotations

from typing import Final

from shared_lib.providers.base import (
    ChargeRequest,
    CheckoutRequest,
    Money,
    PaymentRef,
    RefundRequest,
    SavedMethodRef,
)

REF: Final = PaymentRef(provider="sandbox", provider_payment_id="sbx_1")
METHOD: Final = SavedMethodRef(provider="sandbox", method_id="sm_1")
CHECKOUT: Final = CheckoutRequest(
    payment_id="pay_1", order_id="ord_1", amount=Money(999, "EUR"), description="Metropolis",
    return_url="https://cinema.example", cancel_url="https://cinema.example", idempotency_key="pay_1",
)  # fmt: skip
CHARGE: Final = ChargeRequest(
    payment_id="pay_1", order_id="ord_1", amount=Money(999, "EUR"), method=METHOD, description="Metropolis",
    idempotency_key="pay_1",
)  # fmt: skip
REFUND: Final = RefundRequest(
    payment=REF, refund_id="ref_1", amount=Money(999, "EUR"), idempotency_key="ref_1"
)
