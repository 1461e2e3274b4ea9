"""Which door answers which call, and which takes which event: the one table.

Doors, gateways and documents read it. NGINX's table, the event routes of Compose, Kubernetes and OpenFaaS are generated from it
or compared with it by a test. It is cheap to import: no web framework and no pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final

from shared_lib.billing.events import JobType
from shared_lib.contract.events import OURS, PLAYBACK_STARTED, Tick
from shared_lib.domain.values import Value

# ---- calls over HTTP -----------------------------------------------------------------------------------------

VERSION: Final = "v1"


class Scope(StrEnum):
    """What a token of the Auth service was issued for."""

    CUSTOMER = "billing:customer"
    OPERATOR = "billing:operator"


ANYONE: Final = frozenset[Scope]()
CUSTOMERS: Final = frozenset({Scope.CUSTOMER})
OPERATORS: Final = frozenset({Scope.OPERATOR})


class Route(Value, kw_only=True, dict=True):  # `dict`: for cached_property
    """One call. A token with any one of `scopes` may make it; with none of them the call needs no token.

    `keyed`: it needs an Idempotency-Key.
    """

    door: str
    method: str
    path: str
    scopes: frozenset[Scope] = CUSTOMERS
    keyed: bool = False

    def __str__(self) -> str:
        """`POST /v1/orders`: also its name in the table of idempotency keys, so it never changes."""
        return f"{self.method} {self.path}"

    @property
    def place(self) -> str:
        """`orders` of /v1/orders/{order_id}/cancel: gateways choose the door by it."""
        return self.segments[0]

    @property
    def id_name(self) -> str | None:
        """`order_id` of /v1/orders/{order_id}/cancel."""
        return self.path.partition("{")[2].partition("}")[0] or None

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """What follows /v1: `orders`, `{order_id}`, `cancel`."""
        return tuple(self.path.split("/")[2:])

    def ids_in(self, segments: Sequence[str]) -> list[str] | None:
        """The ids that a path holds where this one has names, or None when it is another path."""
        if len(segments) != len(self.segments):
            return None
        ids = []
        for ours, theirs in zip(self.segments, segments, strict=True):
            if ours.startswith("{"):
                ids.append(theirs)
            elif ours != theirs:
                return None
        return ids


SHOW_CATALOG: Final = Route(door="account", method="GET", path="/v1/catalog", scopes=ANYONE)
CREATE_ORDER: Final = Route(door="create_order", method="POST", path="/v1/orders", keyed=True)
LIST_ORDERS: Final = Route(door="account", method="GET", path="/v1/orders")
SHOW_ORDER: Final = Route(
    door="account", method="GET", path="/v1/orders/{order_id}", scopes=CUSTOMERS | OPERATORS
)
CANCEL_ORDER: Final = Route(door="create_order", method="POST", path="/v1/orders/{order_id}/cancel")
LIST_SUBSCRIPTIONS: Final = Route(door="account", method="GET", path="/v1/subscriptions")
SHOW_SUBSCRIPTION: Final = Route(
    door="account",
    method="GET",
    path="/v1/subscriptions/{subscription_id}",
    scopes=CUSTOMERS | OPERATORS,
)
UPDATE_SUBSCRIPTION: Final = Route(
    door="subscription", method="PATCH", path="/v1/subscriptions/{subscription_id}"
)
CREATE_REFUND: Final = Route(
    door="refund", method="POST", path="/v1/refunds", scopes=CUSTOMERS | OPERATORS, keyed=True
)
SHOW_REFUND: Final = Route(
    door="refund", method="GET", path="/v1/refunds/{refund_id}", scopes=CUSTOMERS | OPERATORS
)
APPROVE_REFUND: Final = Route(
    door="refund", method="POST", path="/v1/refunds/{refund_id}/approve", scopes=OPERATORS
)
REJECT_REFUND: Final = Route(
    door="refund", method="POST", path="/v1/refunds/{refund_id}/reject", scopes=OPERATORS
)
LIST_ENTITLEMENTS: Final = Route(door="account", method="GET", path="/v1/entitlements")
LIST_METHODS: Final = Route(door="account", method="GET", path="/v1/payment-methods")
FORGET_METHOD: Final = Route(door="account", method="DELETE", path="/v1/payment-methods/{method_id}")
# The provider's signature stands for a token.
TAKE_WEBHOOK: Final = Route(door="webhook", method="POST", path="/v1/webhooks/{provider}", scopes=ANYONE)

ROUTES: Final = (
    SHOW_CATALOG,
    CREATE_ORDER,
    LIST_ORDERS,
    SHOW_ORDER,
    CANCEL_ORDER,
    LIST_SUBSCRIPTIONS,
    SHOW_SUBSCRIPTION,
    UPDATE_SUBSCRIPTION,
    CREATE_REFUND,
    SHOW_REFUND,
    APPROVE_REFUND,
    REJECT_REFUND,
    LIST_ENTITLEMENTS,
    LIST_METHODS,
    FORGET_METHOD,
    TAKE_WEBHOOK,
)


def methods_at(segments: Sequence[str]) -> tuple[str, ...]:
    """The methods of a path, whichever door answers them. None of them: no call has the path."""
    return tuple(sorted(route.method for route in ROUTES if route.ids_in(segments) is not None))


# ---- gateways: by place and method, before the rest of a path is looked at -----------------------------------


class Way(Value, kw_only=True):
    """Calls of /v1/{place}/... with these methods go to this door; without methods, all that no other way takes."""

    door: str
    places: tuple[str, ...]
    methods: tuple[str, ...] = ()


def _ways(routes: Iterable[Route]) -> tuple[Way, ...]:
    """Ways in the order in which they must be tried.

    The door with a place's GET takes every other method of it too, so that a method that no call has is refused by a door,
    which names those that the path has.
    """
    methods: dict[str, dict[str, list[str]]] = {}  # by place, then by door
    for route in routes:
        methods.setdefault(route.place, {}).setdefault(route.door, []).append(route.method)
    narrow: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    wide: dict[str, list[str]] = {}
    for place, by_door in methods.items():
        rest = next((door for door, found in by_door.items() if "GET" in found), next(iter(by_door)))
        wide.setdefault(rest, []).append(place)
        for door, found in by_door.items():
            if door != rest:
                narrow.setdefault((door, tuple(sorted(set(found)))), []).append(place)
    return (
        *(Way(door=door, places=tuple(places), methods=found) for (door, found), places in narrow.items()),
        *(Way(door=door, places=tuple(places)) for door, places in wide.items()),
    )


WAYS: Final = _ways(ROUTES)


def door_of(method: str, path: str) -> str | None:
    """The door that a gateway calls for a path, or None. No path leads to a door's events."""
    match [segment for segment in path.split("/") if segment]:
        case [version, place, *_] if version == VERSION:
            fitting = (
                way.door for way in WAYS if place in way.places and (not way.methods or method in way.methods)
            )
            return next(fitting, None)
        case _:
            return None


# ---- events ----------------------------------------------------------------------------------------------------

AFTER_PAYMENT: Final = "/after-payment"
"""The gateway's page, under BOXOFFICE_PUBLIC_URL, for customers who paid by the link of a mail: no page of the frontend waits for them."""

EVENTS_PATH: Final = "/events"
"""Where a door takes events. No gateway leads here."""

EVENT_ROUTES: Final[Mapping[str, str]] = {
    JobType.START_PAYMENT: "create_order",
    JobType.START_REFUND: "refund",
    JobType.FIND_REFUNDS: "refund",
    JobType.CHARGE_RENEWALS: "renew",
    Tick.RENEWAL: "renew",
    Tick.RECONCILE: "reconcile",
    OURS: "notify",
    PLAYBACK_STARTED: "playback",
}
"""Event type, or the beginning of types, to door. The longest that fits decides; shorter ones stand behind longer ones."""


def taker_of(kind: str) -> str | None:
    """The door that takes events of this type, or None."""
    fitting = (beginning for beginning in EVENT_ROUTES if kind.startswith(beginning))
    longest = max(fitting, key=len, default=None)
    return None if longest is None else EVENT_ROUTES[longest]


# ---- doors -----------------------------------------------------------------------------------------------------

HTTP_DOORS: Final = frozenset(route.door for route in ROUTES)
EVENT_DOORS: Final = frozenset(EVENT_ROUTES.values())
DOORS: Final = tuple(sorted(HTTP_DOORS | EVENT_DOORS))
"""Each is a folder of functions/."""
