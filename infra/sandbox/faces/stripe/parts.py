"""Parts of the JSON that several objects share: expansion, payment methods, customers, instants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.sandbox.engine.cards import Card, by_slug
from infra.sandbox.engine.clock import SECOND_US
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, one
from infra.sandbox.faces.stripe.ids import CUSTOMER, METHOD, shown

Wanted = Mapping[str, "Wanted"]
"""Which properties are expanded: {"payment_intent": {"latest_charge": {}}}."""


def wanted(paths: Iterable[str]) -> Wanted:
    """`["payment_intent.latest_charge"]` as a tree."""
    tree: dict[str, Any] = {}
    for path in paths:
        branch = tree
        for step in path.split("."):
            branch = branch.setdefault(step, {})
    return tree


def method_view(method: Row) -> dict[str, Any]:
    customer = None if method["deleted_at"] is not None else shown(CUSTOMER, method["customer_id"])
    return _method(
        shown(METHOD, method["id"]),
        by_slug(method["card"]),
        method["expires"],
        customer,
        method["created_at"],
    )


def method_id_of(row: Row) -> str:
    """Of a card that is not kept, an id of its own."""
    return shown(METHOD, row["method_id"] or row["id"])


def method_of(at: Moment, row: Row) -> dict[str, Any]:
    if row["method_id"] is not None:
        method = one(at.tx, "SELECT * FROM methods WHERE id = ?", row["method_id"])
        assert method is not None
        return method_view(method)
    expires = json.loads(row["request"]).get("card_expires", "2034-12")
    return _method(method_id_of(row), by_slug(row["card"]), expires, None, row["created_at"])


def _method(id_: str, card: Card, expires: str, customer: str | None, created_at: int) -> dict[str, Any]:
    year, month = expires.split("-")
    return {
        "id": id_,
        "object": "payment_method",
        "billing_details": BILLING,
        "card": {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": int(month),
            "exp_year": int(year),
            "fingerprint": card.fingerprint,
            "funding": "credit",
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": seconds(created_at),
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


BILLING: dict[str, Any] = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}


def customer_of(at: Moment, row: Row) -> str | None:
    """The customer of a kept card, else the one that the merchant named."""
    if row["method_id"] is not None:
        method = one(at.tx, "SELECT customer_id FROM methods WHERE id = ?", row["method_id"])
        return shown(CUSTOMER, method["customer_id"]) if method else None
    named = json.loads(row["request"]).get("customer_id")
    return shown(CUSTOMER, named) if named else None


def expanded(want: Wanted, name: str, id_: str, view: Callable[[Wanted], dict[str, Any]]) -> Any:
    return view(want[name]) if name in want else id_


def seconds(instant_us: int) -> int:
    return instant_us // SECOND_US
