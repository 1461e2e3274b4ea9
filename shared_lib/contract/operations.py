"""What each call takes, and every answer that it may give.

docs/openapi.json is generated from this table and the models that it names. Which door answers a call: routes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from shared_lib.contract import routes
from shared_lib.contract.commands import CreateOrder, CreateRefund, RejectRefund, UpdateSubscription
from shared_lib.contract.formats import example_id
from shared_lib.contract.views import (
    Catalog,
    Entitlements,
    Orders,
    OrderView,
    PaymentMethods,
    RefundView,
    Subscriptions,
    SubscriptionView,
    View,
)
from shared_lib.domain.errors import Code
from shared_lib.domain.values import Value, field

OURS: Final = (Code.URL_TOO_LONG, Code.INPUT_UNSTORABLE, Code.UNAVAILABLE, Code.INTERNAL)
TOKEN: Final = (
    Code.TOKEN_MISSING,
    Code.TOKEN_MALFORMED,
    Code.TOKEN_EXPIRED,
    Code.TOKEN_INVALID,
    Code.SCOPE_MISSING,
    Code.AUTH_UNAVAILABLE,
)
BODY: Final = (Code.BODY_NOT_JSON, Code.BODY_TOO_LARGE, Code.BODY_INVALID)
KEY: Final = (Code.KEY_MISSING, Code.KEY_MALFORMED, Code.KEY_REUSED, Code.KEY_IN_FLIGHT)


class Query(Value, kw_only=True):
    """A query parameter: a whole number up to `at_most`, or text with a schema."""

    name: str
    says: str
    at_most: int | None = None
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


class Operation(Value, kw_only=True):
    """One call. `answers` by status; `refusals` are the codes beside those of every call (OURS, TOKEN, BODY and KEY)."""

    route: routes.Route
    summary: str
    answers: Mapping[int, tuple[type[View] | None, str]]
    refusals: tuple[Code, ...] = ()
    body: type[BaseModel] | None = None
    example: Mapping[str, Any] = field(default_factory=dict)
    query: tuple[Query, ...] = ()

    @property
    def codes(self) -> tuple[Code, ...]:
        """Every problem this call may answer with."""
        token, body = TOKEN if self.route.scopes else (), BODY if self.body else ()
        return token + body + (KEY if self.route.keyed else ()) + self.refusals + OURS


OPERATIONS: Final = (
    Operation(
        route=routes.SHOW_CATALOG,
        summary="List the prices on sale",
        answers={200: (Catalog, "Prices with their products.")},
    ),
    Operation(
        route=routes.CREATE_ORDER,
        summary="Create an order and get a checkout link",
        body=CreateOrder,
        example={"price_id": "prc_metropolis_buy", "return_url": "http://127.0.0.1:8100/thanks"},
        answers={
            201: (
                OrderView,
                "The customer pays at `checkout_url`. Already paid when it is free or the saved method was charged. An open order for the same price is returned.",
            ),
            202: (OrderView, "The provider has not answered yet. Poll `Location` with `?wait=25`."),
        },
        refusals=(
            Code.PRICE_UNKNOWN,
            Code.PRICE_RETIRED,
            Code.PROVIDER_UNKNOWN,
            Code.PROVIDER_CLOSED,
            Code.CURRENCY_UNSUPPORTED,
            Code.AMOUNT_TOO_SMALL,
            Code.RETURN_URL_FORBIDDEN,
            Code.METHOD_UNKNOWN,
            Code.ALREADY_OWNED,
            Code.ALREADY_RENTED,
            Code.ALREADY_SUBSCRIBED,
            Code.ORDER_OPEN,
            Code.TOO_MANY_OPEN_ORDERS,
            Code.TRIAL_USED,
            Code.PAYMENT_DECLINED,
            Code.INPUT_REFUSED,
            Code.PROVIDER_REFUSED,
        ),
    ),
    Operation(
        route=routes.LIST_ORDERS,
        summary="List own orders, newest first",
        query=(
            Query(name="limit", says="Page size.", at_most=100),
            Query(
                name="after",
                says="`next` of the previous page.",
                schema={"type": "string", "pattern": "^[ -~]*$"},
            ),
        ),
        answers={200: (Orders, "A page.")},
        refusals=(Code.QUERY_INVALID,),
    ),
    Operation(
        route=routes.SHOW_ORDER,
        summary="Get an order",
        query=(
            Query(name="wait", says="Seconds to wait for a change while the order is pending.", at_most=25),
        ),
        answers={200: (OrderView, "The current state.")},
        refusals=(Code.NOT_FOUND, Code.QUERY_INVALID, Code.TOO_MANY_POLLS),
    ),
    Operation(
        route=routes.CANCEL_ORDER,
        summary="Cancel an unpaid order",
        answers={200: (OrderView, "The order; its status is `paid` when the payment came first.")},
        refusals=(Code.NOT_FOUND, Code.ORDER_NOT_CANCELABLE, Code.PAYMENT_UNRESOLVED),
    ),
    Operation(
        route=routes.LIST_SUBSCRIPTIONS,
        summary="List own subscriptions",
        answers={200: (Subscriptions, "All of them.")},
    ),
    Operation(
        route=routes.SHOW_SUBSCRIPTION,
        summary="Get a subscription",
        answers={200: (SubscriptionView, "The current state.")},
        refusals=(Code.NOT_FOUND,),
    ),
    Operation(
        route=routes.UPDATE_SUBSCRIPTION,
        summary="Turn renewals off or on",
        body=UpdateSubscription,
        example={"auto_renew": False},
        answers={
            200: (
                SubscriptionView,
                "`charge_in_flight`: a renewal was already sent; if it succeeds, it is refunded.",
            )
        },
        refusals=(Code.NOT_FOUND, Code.SUBSCRIPTION_ENDED),
    ),
    Operation(
        route=routes.CREATE_REFUND,
        summary="Refund an order; operators may choose the amount and what happens to access",
        body=CreateRefund,
        example={"order_id": example_id("ord"), "reason": "wrong film"},
        answers={
            201: (RefundView, "Refunded, or accepted by the provider."),
            202: (
                RefundView,
                "Reserved. The provider has not confirmed the refund yet, or a second operator must approve.",
            ),
        },
        refusals=(
            Code.NOT_FOUND,
            Code.ORDER_NOT_PAID,
            Code.PROVIDER_CLOSED,
            Code.PAYMENT_UNRESOLVED,
            Code.REFUND_TOO_MUCH,
            Code.REFUND_WINDOW_OVER,
            Code.REFUND_STARTED,
            Code.REFUND_AMOUNT_FORBIDDEN,
            Code.REFUND_LIMIT,
            Code.REFUND_REPEATED,
            Code.REFUND_OWN_ORDER,
        ),
    ),
    Operation(
        route=routes.SHOW_REFUND,
        summary="Get a refund",
        answers={200: (RefundView, "The current state.")},
        refusals=(Code.NOT_FOUND,),
    ),
    Operation(
        route=routes.APPROVE_REFUND,
        summary="Approve a refund as the second operator",
        answers={200: (RefundView, "The current state. The same operator may repeat the call.")},
        refusals=(
            Code.NOT_FOUND,
            Code.REFUND_NOT_AWAITING,
            Code.REFUND_SAME_PERSON,
            Code.REFUND_OWN_ORDER,
        ),
    ),
    Operation(
        route=routes.REJECT_REFUND,
        summary="Reject a refund that awaits a second operator, and release its amount",
        body=RejectRefund,
        example={"reason": "the film was watched to its end"},
        answers={200: (RefundView, "The current state. The same operator may repeat the call.")},
        refusals=(Code.NOT_FOUND, Code.REFUND_NOT_AWAITING, Code.REFUND_OWN_ORDER),
    ),
    Operation(
        route=routes.LIST_ENTITLEMENTS,
        summary="List what the customer may watch now",
        answers={200: (Entitlements, "Access by product, with the order that paid for it.")},
    ),
    Operation(
        route=routes.LIST_METHODS,
        summary="List saved payment methods",
        answers={200: (PaymentMethods, "Brand, last four digits and expiry date; never card data.")},
    ),
    Operation(
        route=routes.FORGET_METHOD,
        summary="Delete a saved payment method, here and at its provider",
        query=(
            Query(
                name="confirm",
                says="`true`: delete it although subscriptions are renewed with it.",
                schema={"type": "string", "enum": ["true", "false"]},
            ),
        ),
        answers={204: (None, "Deleted. Repeating the call answers the same.")},
        refusals=(Code.NOT_FOUND, Code.METHOD_IN_USE, Code.QUERY_INVALID),
    ),
    Operation(
        route=routes.TAKE_WEBHOOK,
        summary="Take a webhook of a provider, which signs it",
        answers={200: (None, "Committed.")},
        refusals=(Code.NOT_FOUND, Code.BODY_TOO_LARGE, Code.SIGNATURE_INVALID, Code.WEBHOOK_UNREADABLE),
    ),
)
