"""What a merchant may ask for, as values: faces parse their own bodies into these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """`amount_minor` 0 with `save_method` verifies a card without taking money."""

    amount_minor: int
    currency: str
    description: str
    return_url: str
    cancel_url: str | None = None  # None: the page offers no way back
    metadata: Mapping[str, str] = field(default_factory=dict)
    save_method: bool = False
    customer_ref: str | None = None
    customer_email: str | None = None
    customer_id: str | None = None
    locale: str | None = None
    expires_in_s: int | None = None
    capture: bool = True  # False: the card approves, and the money is taken by a second call
    kept: Mapping[str, Any] = field(default_factory=dict)  # what a face shows again: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRequest:
    """Money from a saved method, without the customer."""

    amount_minor: int
    currency: str
    description: str
    method_id: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    capture: bool = True
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """`amount_minor` None: everything that is left."""

    payment: str
    amount_minor: int | None = None
    reason: str = "requested_by_customer"
    metadata: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
