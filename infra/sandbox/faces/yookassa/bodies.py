"""What the API accepts. Further fields are passed over: the official SDK sends each that it knows."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from infra.sandbox.engine.currencies import CURRENCIES
from infra.sandbox.engine.requests import ChargeRequest, CheckoutRequest, RefundRequest
from infra.sandbox.faces.yookassa.ids import engine_id

LINK_LIFE_S = 3600
_TWO_DECIMALS = frozenset({"RUB", "EUR", "USD", "KZT"})  # of the currencies that this bank has


def _known_currency(code: str) -> str:
    if code not in _TWO_DECIMALS:
        raise ValueError("not a currency of this shop")
    return code


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("an absolute http(s) address")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=32)], Annotated[str, StringConstraints(max_length=512)]],
    Field(max_length=16),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Amount(_Body):
    value: Annotated[str, StringConstraints(pattern=r"^\d{1,11}\.\d{2}$")]
    currency: Annotated[str, AfterValidator(_known_currency)]

    @property
    def minor(self) -> int:
        return int(self.value.replace(".", ""))


class Redirect(_Body):
    type: Literal["redirect"]
    return_url: Annotated[str, StringConstraints(max_length=2048), AfterValidator(_web_address)]
    locale: str | None = None
    enforce: bool | None = None


class Customer(_Body):
    full_name: str | None = None
    email: Annotated[str, StringConstraints(pattern="@")] | None = None
    phone: str | None = None

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if not (self.email or self.phone):
            raise ValueError("a receipt needs an e-mail address or a phone number")
        return self


class Item(_Body):
    description: Text
    quantity: Annotated[Decimal, Field(gt=0)]
    amount: Amount
    vat_code: Annotated[int, Field(ge=1, le=12)]
    payment_subject: Text | None = None
    payment_mode: Text | None = None
    measure: Text | None = None


class Receipt(_Body):
    customer: Customer
    items: Annotated[list[Item], Field(min_length=1, max_length=80)]
    tax_system_code: Annotated[int, Field(ge=1, le=6)] | None = None


class _Priced(_Body):
    """Anything with an amount: its receipt adds up to it."""

    amount: Amount
    metadata: Metadata = {}
    receipt: Receipt | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.receipt:
            total = sum(it.amount.minor * it.quantity for it in self.receipt.items)
            currencies = {it.amount.currency for it in self.receipt.items}
            if total != self.amount.minor or currencies != {self.amount.currency}:
                raise ValueError("the items of the receipt do not add up to the amount")
        return self

    @property
    def kept(self) -> dict[str, Any]:
        """What the engine keeps for us."""
        return {"receipt": self.receipt.model_dump(mode="json", exclude_none=True)} if self.receipt else {}


class PaymentBody(_Priced):
    description: Text = "Payment"
    capture: bool = False
    confirmation: Redirect | None = None
    payment_method_data: dict[Literal["type"], Literal["bank_card"]] | None = None
    save_payment_method: bool = False
    payment_method_id: Text | None = None
    merchant_customer_id: Annotated[str, StringConstraints(max_length=200)] | None = None
    client_ip: str | None = None

    @model_validator(mode="after")
    def _can_be_paid(self) -> Self:
        if self.amount.minor < CURRENCIES[self.amount.currency].minimum_minor:
            raise ValueError("the amount is below the smallest one of this currency")
        if (self.payment_method_id is None) == (self.confirmation is None):
            raise ValueError("either a saved method or a confirmation")
        return self

    def checkout(self) -> CheckoutRequest:
        assert self.confirmation is not None
        return CheckoutRequest(
            amount_minor=self.amount.minor,
            currency=self.amount.currency,
            description=self.description,
            return_url=self.confirmation.return_url,
            metadata=self.metadata,
            save_method=self.save_payment_method,
            customer_ref=self.merchant_customer_id,
            locale=self.confirmation.locale,
            expires_in_s=LINK_LIFE_S,
            capture=self.capture,
            kept=self.kept,
        )

    def charge(self, method_id: str) -> ChargeRequest:
        return ChargeRequest(
            amount_minor=self.amount.minor,
            currency=self.amount.currency,
            description=self.description,
            method_id=method_id,
            metadata=self.metadata,
            capture=self.capture,
            kept=self.kept,
        )


class CaptureBody(_Body):
    amount: Amount | None = None  # None: all of it
    receipt: Receipt | None = None


class EmptyBody(_Body):
    pass


class BindingBody(_Body):
    """A card that is verified and saved without a payment."""

    type: Literal["bank_card"]
    confirmation: Redirect
    client_ip: str | None = None

    def request(self) -> CheckoutRequest:
        return CheckoutRequest(
            amount_minor=0,
            currency="RUB",
            description="Card for later payments",
            return_url=self.confirmation.return_url,
            locale=self.confirmation.locale,
            expires_in_s=LINK_LIFE_S,
            save_method=True,
        )


class RefundBody(_Priced):
    payment_id: Text
    description: Annotated[str, StringConstraints(max_length=250)] | None = None

    def request(self) -> RefundRequest:
        return RefundRequest(
            payment=engine_id("sp", self.payment_id),
            amount_minor=self.amount.minor,
            reason=self.description or "requested",
            metadata=self.metadata,
            kept=self.kept,
        )
