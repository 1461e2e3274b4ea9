"""GET what a customer may see: orders, subscriptions, entitlements, payment methods and the catalog.

GET /v1/orders/{id}?wait=25 answers when a pending order changes, or after 25 seconds; at once when the order is decided.
DELETE /v1/payment-methods/{id} detaches a saved method here and at its provider.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from shared_lib.billing.facts import instant
from shared_lib.contract import routes
from shared_lib.contract.views import (
    Catalog,
    Entitlements,
    Orders,
    PaymentMethods,
    PaymentMethodView,
    Subscriptions,
    SubscriptionView,
    entitlement_view,
    order_view,
    price_view,
    subscription_view,
)
from shared_lib.domain.errors import Code
from shared_lib.domain.order import OrderStatus
from shared_lib.log import note
from shared_lib.phases.methods import DetachMethod, MethodInUse, detach_methods
from shared_lib.providers.base import ProviderError
from shared_lib.queries import account as queries
from shared_lib.queries.account import Ask, ShownMethod, ShownOrder, ShownSubscription
from shared_lib.runtime import Runtime, runtime
from shared_lib.watching import order_watch
from shared_lib.web import framework
from shared_lib.web.auth import OPERATOR
from shared_lib.web.dispatch import Calls, dispatch
from shared_lib.web.gated import gated
from shared_lib.web.http import (
    RefusedError,
    Reply,
    authenticated,
    endpoint,
    identified,
    note_operators_read,
    refuse,
    whole_number,
)

PAGE_MAX: Final = 100
WAIT_MAX_S: Final = 25


@framework.http
@gated
@endpoint
async def account(request: Request) -> Reply:
    return await dispatch(request, CALLS)


async def show_catalog(_: Request) -> Reply:
    return Reply(
        200, Catalog(items=[price_view(price) for price in await runtime().read(queries.catalog, None)])
    )


async def list_orders(request: Request) -> Reply:
    ask = await asked(request)
    limit = whole_number(request.query_params, "limit", default=50, at_most=PAGE_MAX)
    after = request.query_params.get("after")
    if after is not None and not (after.isascii() and after.isprintable()):
        raise refuse(Code.QUERY_INVALID, "after must be the `next` of the previous page.")
    ask = Ask(customer_id=ask.customer_id, after=after, limit=limit)
    found = await runtime().read(queries.orders, ask)
    following = found[-1].order.id if limit and len(found) == limit else None
    return Reply(200, Orders(items=[order_view(one.order, one.payment) for one in found], next=following))


async def show_order(request: Request, order_id: str) -> Reply:
    ask = await asked(request, order_id)
    note(order=order_id)
    wait_s = whole_number(request.query_params, "wait", default=0, at_most=WAIT_MAX_S)
    rt = runtime()
    found = await one_order(rt, ask)
    # A caller who asks after the payment, as a customer does who returns from the provider's page, has nothing to wait for.
    if wait_s and found.order.status is OrderStatus.PENDING:
        watch, principal = order_watch(rt), await identified(request)
        with watch.place(principal.customer_id):
            known = (found.order.status.value, found.order.version)
            await watch.changed(request, order_id, known, wait_s)
            # Read again in any case: a checkout_url that has come meanwhile changes neither status nor version.
            found = await one_order(rt, ask)
    return Reply(200, order_view(found.order, found.payment))


async def one_order(rt: Runtime, ask: Ask) -> ShownOrder:
    found = await rt.read(queries.orders, ask)
    if ask.customer_id is None:
        note_operators_read(ask.id, found[0].order.customer_id if found else None)
    if not found:
        raise refuse(Code.NOT_FOUND, "There is no such order.")
    return found[0]


async def list_subscriptions(request: Request) -> Reply:
    found = await runtime().read(queries.subscriptions, await asked(request))
    return Reply(200, Subscriptions(items=[shown(one) for one in found]))


async def show_subscription(request: Request, subscription_id: str) -> Reply:
    ask = await asked(request, subscription_id)
    found = await runtime().read(queries.subscriptions, ask)
    if ask.customer_id is None:
        note_operators_read(ask.id, found[0].subscription.customer_id if found else None)
    if not found:
        raise refuse(Code.NOT_FOUND, "There is no such subscription.")
    return Reply(200, shown(found[0]))


def shown(one: ShownSubscription) -> SubscriptionView:
    return subscription_view(one.subscription, checkout_url=one.checkout_url)


async def list_entitlements(request: Request) -> Reply:
    found = await runtime().read(queries.entitlements, await own(request))
    return Reply(200, Entitlements(items=[entitlement_view(one) for one in found]))


async def list_methods(request: Request) -> Reply:
    found = await runtime().read(queries.payment_methods, await own(request))
    return Reply(200, PaymentMethods(items=[method_view(one) for one in found]))


def method_view(one: ShownMethod) -> PaymentMethodView:
    return PaymentMethodView(
        id=one.id, provider=one.provider, brand=one.brand, last4=one.last4, expires=one.expires
    )


def in_use(found: MethodInUse) -> RefusedError:
    """The refusal that a frontend shows before it repeats the call with ?confirm=true."""
    subscriptions = [
        {"id": one.subscription_id, "title": one.title, "renews_at": instant(one.renews_at)}
        for one in found.subscriptions
    ]
    return refuse(
        Code.METHOD_IN_USE,
        "Subscriptions are renewed with this payment method. Add ?confirm=true to remove it.",
        subscriptions=subscriptions,
    )


async def detach_method(request: Request, method_id: str) -> Reply:
    """Detach it in our database first: from then on it is not charged, whether the provider answers or not."""
    rt, ask = runtime(), await own(request, method_id)
    assert ask.customer_id is not None
    confirm = request.query_params.get("confirm", "false")
    if confirm not in ("true", "false"):
        raise refuse(Code.QUERY_INVALID, "confirm must be true or false.")
    wanted = DetachMethod(customer_id=ask.customer_id, method_id=method_id, confirmed=confirm == "true")
    detached = await rt.run(detach_methods, wanted)
    if isinstance(detached, MethodInUse):
        raise in_use(detached)
    if detached is None:
        raise refuse(Code.NOT_FOUND, "There is no such payment method.")
    provider = rt.providers.get(detached.provider)
    if provider is None:
        note(outcome=f"forgotten here; {detached.provider} is not configured")
        return Reply(204)
    try:
        await provider.forget_method(detached)
    except ProviderError as error:
        note(outcome=f"forgotten here, not by {error.provider}: {error.code}")
    return Reply(204)


async def asked(request: Request, id_: str | None = None) -> Ask:
    """The caller's question: customers may read what is theirs, operators one object of any customer."""
    principal = await identified(request)
    if id_ and OPERATOR in principal.scopes:
        return Ask(customer_id=None, id=id_)
    return await own(request, id_)


async def own(request: Request, id_: str | None = None) -> Ask:
    return Ask(customer_id=(await authenticated(request)).customer_id, id=id_)


CALLS: Final[Calls] = {
    routes.SHOW_CATALOG: show_catalog,
    routes.LIST_ORDERS: list_orders,
    routes.SHOW_ORDER: show_order,
    routes.LIST_SUBSCRIPTIONS: list_subscriptions,
    routes.SHOW_SUBSCRIPTION: show_subscription,
    routes.LIST_ENTITLEMENTS: list_entitlements,
    routes.LIST_METHODS: list_methods,
    routes.FORGET_METHOD: detach_method,
}
