"""The bodies that calls take. Any other field is refused: an amount, a price of its own or a customer is never read."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared_lib.contract.formats import IDENTIFIER
from shared_lib.domain.refund import RefundAccess

Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=IDENTIFIER)]

# PostgreSQL stores every character except NUL.
_STORABLE = r"^[^\x00]*$"


class Command(BaseModel):
    """Frozen, strict and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CreateOrder(Command):
    """Buy, rent or subscribe at a price of the catalog."""

    price_id: Identifier
    return_url: Annotated[str, Field(min_length=8, max_length=2048, json_schema_extra={"format": "uri"})]
    provider: Identifier | None = None
    payment_method_id: Identifier | None = None


Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=_STORABLE)]


class CreateRefund(Command):
    """Refund an order. Only operators may set `amount_minor`, `access` and `payment_id`.

    `payment_id` names a payment that took more than its order asked for; without it, the payment of the order is refunded.
    """

    order_id: Identifier
    payment_id: Identifier | None = None
    reason: Reason
    amount_minor: Annotated[int, Field(gt=0, le=10**12)] | None = None
    access: Annotated[RefundAccess, Field(strict=False)] | None = None


class RejectRefund(Command):
    """Reject a refund that awaits a second operator."""

    reason: Reason


class UpdateSubscription(Command):
    """Turn renewals off or on."""

    auto_renew: bool
