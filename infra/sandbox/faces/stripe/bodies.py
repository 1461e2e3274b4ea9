"""What the API accepts: closed shapes of form fields. An unknown parameter is refused, as Stripe does."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from infra.sandbox.engine.currencies import CURRENCIES
from infra.sandbox.faces.stripe.amounts import minor_of


def _known_currency(code: str) -> str:
    if code.upper() not in CURRENCIES:
        raise ValueError(f"Invalid currency: {code}")
    return code.upper()


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("Not a valid URL")
    return text


Currency = Annotated[str, StringConstraints(max_length=3), AfterValidator(_known_currency)]
Url = Annotated[str, StringConstraints(max_length=5000), AfterValidator(_web_address)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Units = Annotated[int, Field(ge=0, le=99_999_999)]
Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=40)], Annotated[str, StringConstraints(max_length=500)]],
    Field(max_length=50),
]


def _yes(value: bool) -> bool:  # noqa: FBT001  # a validator
    if not value:
        raise ValueError("This sandbox only charges at once, and without the customer")
    return value


Yes = Annotated[bool, AfterValidator(_yes)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expanding(Body):
    expand: list[str] = []


class ProductData(Body):
    name: Annotated[str, StringConstraints(min_length=1, max_length=250)]


class PriceData(Body):
    currency: Currency
    unit_amount: Units
    product_data: ProductData


class LineItem(Body):
    price_data: PriceData
    quantity: Annotated[int, Field(ge=1, le=1)] = 1


class IntentData(Body):
    metadata: Metadata = {}
    description: Text | None = None
    setup_future_usage: Literal["off_session"] | None = None


class SetupData(Body):
    metadata: Metadata = {}


class SessionBody(Expanding):
    mode: Literal["payment", "setup"]
    success_url: Url
    cancel_url: Url | None = None
    line_items: Annotated[list[LineItem], Field(max_length=1)] = []
    currency: Currency | None = None
    client_reference_id: Text | None = None
    customer: Text | None = None
    customer_email: Text | None = None
    customer_creation: Literal["always", "if_required"] = "if_required"
    expires_at: int | None = None
    locale: Text | None = None
    metadata: Metadata = {}
    payment_intent_data: IntentData = IntentData()
    setup_intent_data: SetupData = SetupData()

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        if (self.mode == "payment") != bool(self.line_items):
            raise ValueError("line_items are for mode=payment, which needs them")
        if self.mode == "setup" and self.currency is None:
            raise ValueError("currency is required in setup mode")
        if self.customer and (self.customer_email or self.customer_creation == "always"):
            raise ValueError("You may only specify one of customer, customer_email and customer_creation")
        return self

    @property
    def price(self) -> PriceData | None:
        return self.line_items[0].price_data if self.line_items else None


class AutomaticMethods(Body):
    enabled: bool
    allow_redirects: Literal["always", "never"] = "always"


class _Priced(Expanding):
    amount: Units
    currency: Currency

    @model_validator(mode="after")
    def _chargeable(self) -> Self:
        minor_of(self.amount, self.currency)
        return self


class IntentBody(_Priced):
    """An intent that is confirmed at once, without the customer: the only kind here."""

    customer: Text
    payment_method: Text
    confirm: Yes
    off_session: Yes
    automatic_payment_methods: AutomaticMethods | None = None
    payment_method_types: list[str] = []
    description: Text | None = None
    metadata: Metadata = {}


class RefundBody(Expanding):
    payment_intent: Text | None = None
    charge: Text | None = None
    amount: Annotated[int, Field(gt=0)] | None = None  # None: everything that is left
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None
    metadata: Metadata = {}

    @model_validator(mode="after")
    def _names_a_payment(self) -> Self:
        if bool(self.payment_intent) == bool(self.charge):
            raise ValueError("One of payment_intent and charge is required")
        return self
