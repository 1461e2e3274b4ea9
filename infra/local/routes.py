"""Which door answers which path, and which takes which event. The local gateway and NGINX's doors.conf follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

EVENTS: Final[Mapping[str, str]] = {
    "billing.job.start_payment": "create_order",
    "billing.job.start_refund": "refund",
    "billing.job.find_refunds": "refund",
    "billing.job.charge_renewals": "renew",
    "billing.tick.renewal": "renew",
    "billing.tick.reconcile": "reconcile",
    "billing.": "notify",
    "cinema.playback.started": "playback",
}


class Way(NamedTuple):
    """Calls of /v1/{place}/... with these methods go to this door; no methods stand for all."""

    door: str
    places: tuple[str, ...]
    methods: tuple[str, ...] = ()


# The first that fits, so that a method that does not exist is refused by a door, which says which ones do.
WAYS: Final = (
    Way("webhook", ("webhooks",)),
    Way("create_order", ("orders",), ("POST",)),
    Way("refund", ("refunds",)),
    Way("subscription", ("subscriptions",), ("PATCH", "POST")),
    Way("account", ("orders", "subscriptions", "entitlements", "payment-methods", "catalog")),
)


def door_of(method: str, path: str) -> str | None:
    """The function that answers a public call, or None. Events do not come through here."""
    match [segment for segment in path.split("/") if segment]:
        case ["v1", place, *_]:
            fitting = (
                way.door for way in WAYS if place in way.places and (not way.methods or method in way.methods)
            )
            return next(fitting, None)
        case _:
            return None
