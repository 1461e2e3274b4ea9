"""Which door answers which path, and which takes which event: the gateway's table, as NGINX has it in production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EVENTS: Final[Mapping[str, str]] = {
    "billing.job.start_payment": "create_order",
    "billing.job.start_refund": "refund",
    "billing.job.charge_renewals": "renew",
    "billing.tick.renewal": "renew",
    "billing.tick.reconcile": "reconcile",
    "billing.": "notify",
    "cinema.playback.started": "playback",
}


def door_of(method: str, path: str) -> str | None:
    """The function that answers a public call, or None. Events do not come through here."""
    match method, [segment for segment in path.split("/") if segment]:
        case _, ["v1", "webhooks", *_]:
            return "webhook"
        case "POST", ["v1", "orders", *_]:
            return "create_order"
        case _, ["v1", "refunds", *_]:
            return "refund"
        case "PATCH" | "POST", ["v1", "subscriptions", *_]:
            return "subscription"
        case _, ["v1", "orders" | "subscriptions" | "entitlements" | "payment-methods" | "catalog", *_]:
            return "account"
        case _:
            return None
