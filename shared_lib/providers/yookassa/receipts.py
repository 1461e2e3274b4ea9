"""The receipt of 54-FZ that goes with a payment or a refund: one item, and where the customer gets it."""

from __future__ import annotations

from dataclasses import dataclass

from shared_lib.domain.money import Money
from shared_lib.providers.yookassa.wire import amount

_ITEM_CHARS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRules:
    """The shop's own facts. The codes are YooKassa's and the tax authority's."""

    vat_code: int  # 1 to 12: the rate of VAT
    email: str  # where the receipt of a customer without an address goes
    payment_subject: str = "service"  # what is sold
    payment_mode: str = "full_payment"  # it is paid in full when it is handed over
    tax_system_code: int | None = None  # 1 to 6, for a shop with several systems of taxation

    def receipt(self, title: str, price: Money, email: str | None) -> dict[str, object]:
        """The `receipt` of a request: the whole price for one item of that title."""
        item: dict[str, object] = {
            "description": title[:_ITEM_CHARS_MAX],
            "quantity": 1,
            "amount": amount(price),
            "vat_code": self.vat_code,
            "payment_subject": self.payment_subject,
            "payment_mode": self.payment_mode,
            "measure": "piece",
        }
        receipt: dict[str, object] = {"customer": {"email": email or self.email}, "items": [item]}
        if self.tax_system_code is not None:
            receipt["tax_system_code"] = self.tax_system_code
        return receipt
