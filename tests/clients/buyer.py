"""A customer's visit, with the client that openapi-python-client made of docs/openapi.json: order, pay, watch, refund.

A program of its own: it runs with the generators' environment, and prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import uuid

import httpx
from boxoffice_client import AuthenticatedClient
from boxoffice_client.api.catalog import get_catalog
from boxoffice_client.api.entitlements import get_entitlements
from boxoffice_client.api.orders import get_orders_order_id, post_orders
from boxoffice_client.api.refunds import post_refunds
from boxoffice_client.models import (
    Catalog,
    CreateOrder,
    CreateRefund,
    Entitlements,
    OrderView,
    Problem,
    RefundView,
)

client = AuthenticatedClient(
    base_url=os.environ["BOXOFFICE_URL"], token=os.environ["BOXOFFICE_TOKEN"], timeout=httpx.Timeout(60)
)


def key() -> str:
    return f'"{uuid.uuid4()}"'


def watchable() -> list[str]:
    found = get_entitlements.sync(client=client)
    assert isinstance(found, Entitlements), found
    return [one.product_id for one in found.items]


catalog = get_catalog.sync(client=client)
assert isinstance(catalog, Catalog), catalog
price = next(one for one in catalog.items if one.kind == "purchase")

minimal = CreateOrder(price_id=price.id, return_url=os.environ["RETURN_URL"])
order = post_orders.sync(client=client, body=minimal, idempotency_key=key())
assert isinstance(order, OrderView), order

unknown = CreateOrder(price_id="prc_none", return_url=os.environ["RETURN_URL"])
refused = post_orders.sync(client=client, body=unknown, idempotency_key=key())
assert isinstance(refused, Problem), refused
assert refused.code == "price_unknown"

assert order.checkout_url
httpx.post(order.checkout_url, data={"number": "4242424242424242", "expires": "12 / 34", "cvc": "123"})
for _ in range(20):
    if order.status != "pending":
        break
    found = get_orders_order_id.sync(order.id, client=client, wait=5)
    assert isinstance(found, OrderView), found
    order = found
watched = watchable()

refund = post_refunds.sync(
    client=client, body=CreateRefund(order_id=order.id, reason="wrong film"), idempotency_key=key()
)
assert isinstance(refund, RefundView), refund
left = watchable()
print(
    json.dumps(
        {
            "order": order.id,
            "status": order.status,
            "watched": watched,
            "refund": refund.status,
            "left": left,
        }
    )
)
