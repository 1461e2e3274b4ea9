"""What the API accepts: strict, closed shapes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from infra.sandbox.engine.currencies import CURRENCIES
from infra.sandbox.engine.requests import ChargeRequest, CheckoutRequest, RefundRequest


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("an absolute http(s) address")
    return text


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("not a currency of this account")
    return code


Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address)]
CurrencyCode = Annotated[str, AfterValidator(_known_currency)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Metadata = Annotated[dict[str, Annotated[str, StringConstraints(max_length=500)]], Field(max_length=50)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Priced(_Body):
    amount_minor: Annotated[int, Field(ge=0, le=99_999_999_999)]
    currency: CurrencyCode
    description: Text
    metadata: Metadata = {}

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        verifies = self.amount_minor == 0 and getattr(self, "save_method", False)
        if not verifies and self.amount_minor < CURRENCIES[self.currency].minimum_minor:
            raise ValueError("amount_minor is below the smallest amount for this currency")
        return self


class CheckoutBody(_Priced):
    return_url: Url
    cancel_url: Url
    save_method: bool = False
    customer_ref: Text | None = None
    customer_email: Text | None = None
    customer_id: Text | None = None
    locale: Text | None = None
    expires_in_s: Annotated[int, Field(ge=1, le=7 * 86400)] | None = None

    def request(self) -> CheckoutRequest:
        return CheckoutRequest(**self.model_dump())


class ChargeBody(_Priced):
    method_id: Text

    def request(self) -> ChargeRequest:
        return ChargeRequest(**self.model_dump())


class RefundBody(_Body):
    payment: Text
    amount_minor: Annotated[int, Field(gt=0)] | None = None  # None: everything that is left
    reason: Text = "requested_by_customer"
    metadata: Metadata = {}

    def request(self) -> RefundRequest:
        return RefundRequest(**self.model_dump())


class ExpireBody(_Body):
    pass
