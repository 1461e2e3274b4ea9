"""What the outside may ask. Everything else in a body is refused: a price, an amount or a customer is never read."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared_lib.domain.refund import RefundAccess

Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]

# PostgreSQL keeps every character but this one.
_STORABLE = r"^[^\x00]*$"


class Command(BaseModel):
    """Frozen, strict and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CreateOrder(Command):
    """Buy, rent or subscribe at a price of the catalog."""

    price_id: Identifier
    return_url: Annotated[str, Field(min_length=8, max_length=2048)]
    provider: Identifier | None = None
    payment_method_id: Identifier | None = None


Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=_STORABLE)]


class CreateRefund(Command):
    """Give money back. Amount, access and payment may be chosen by operators alone.

    `payment_id` names a payment that holds more than its order asked for; without it, what paid for the order goes back.
    """

    order_id: Identifier
    payment_id: Identifier | None = None
    reason: Reason
    amount_minor: Annotated[int, Field(gt=0, le=10**12)] | None = None
    access: Annotated[RefundAccess, Field(strict=False)] | None = None


class RejectRefund(Command):
    """Give up a refund that waits for a second operator."""

    reason: Reason


class UpdateSubscription(Command):
    """Opt out of renewals, or back in."""

    auto_renew: bool
