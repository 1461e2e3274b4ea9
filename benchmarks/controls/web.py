"""What the FastAPI controls share: settings, the token check as a dependency, body and answer as models."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Coroutine
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypedDict, Unpack

import httpx
import jwt
from fastapi import Depends, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.instant import InstantProvider
from benchmarks.provider import API_KEY
from benchmarks.provider import NAME as OVER_HTTP
from shared_lib.domain.money import Money
from shared_lib.ids import new_id
from shared_lib.providers.base import CheckoutRequest
from shared_lib.store.outbox import shard_of

DATABASE_URL = os.environ["BOXOFFICE_DATABASE_URL"]
ISSUER, AUDIENCE = os.environ["BOXOFFICE_AUTH_ISSUER"], os.environ["BOXOFFICE_AUTH_AUDIENCE"]
ORIGINS = tuple(os.environ["BOXOFFICE_RETURN_URL_ORIGINS"].split(","))
ROUTE = "POST /v1/orders"
POOL_SIZE = 16

_jwks = jwt.PyJWKClient(os.environ["BOXOFFICE_AUTH_JWKS_URL"], cache_keys=True, lifespan=3600)
PROVIDER_URL = os.environ.get("PROVIDER_URL", "")  # empty: the provider is in this process
PROVIDER = OVER_HTTP if PROVIDER_URL else InstantProvider.name
_of_clients: dict[str, Any] = {
    "headers": {"authorization": f"Bearer {API_KEY}"},
    "timeout": 30.0,
    "limits": httpx.Limits(max_keepalive_connections=100),  # 20 by default: fewer than callers at once
}
_http = httpx.AsyncClient(**_of_clients) if PROVIDER_URL else None
_http_in_threads = httpx.Client(**_of_clients) if PROVIDER_URL else None
_instant = InstantProvider()


class Checkout(NamedTuple):
    payment_id: str  # the provider's
    url: str | None


class Customer(BaseModel):
    id: str
    email: str | None
    locale: str


async def current_customer(authorization: Annotated[str, Header()]) -> Customer:
    token = authorization.removeprefix("Bearer ")
    try:
        key = _jwks.get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key.key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.PyJWTError as error:
        raise HTTPException(401, "the token was refused") from error
    if "billing:customer" not in claims["scope"].split():
        raise HTTPException(403, "the token lacks the scope")
    return Customer(id=claims["sub"], email=claims.get("email"), locale=claims.get("locale", "en"))


CurrentCustomer = Annotated[Customer, Depends(current_customer)]
IdempotencyKey = Annotated[str, Header(max_length=255)]


class OrderIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    price_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    return_url: Annotated[str, Field(min_length=8, max_length=2048)]

    def fingerprint(self) -> bytes:
        return hashlib.sha256(f"{ROUTE}\n{self.model_dump_json()}".encode()).digest()

    def check(self) -> None:
        if not self.return_url.startswith(tuple(f"{origin}/" for origin in ORIGINS)):
            raise HTTPException(400, "return_url must have one of the cinema's origins")


class AmountOut(BaseModel):
    minor: int
    currency: str


class ProductOut(BaseModel):
    id: str
    title: str


class PaymentOut(BaseModel):
    id: str
    status: str
    provider: str


class OrderOut(BaseModel):
    id: str
    status: str
    billing_reason: str
    kind: str
    product: ProductOut
    price_id: str
    amount: AmountOut
    checkout_url: str | None
    payment: PaymentOut
    created_at: datetime
    expires_at: datetime


def asked_for(body: OrderIn, customer: Customer, key: str) -> dict[str, Any]:
    """The parameters of OPEN_BY_PSYCOPG."""
    return {
        "customer_id": customer.id,
        "email": customer.email,
        "locale": customer.locale,
        "key": key,
        "fingerprint": body.fingerprint(),
        "price_id": body.price_id,
        "return_url": body.return_url,
        "order_id": new_id("ord"),
        "payment_id": new_id("pay"),
        "event_id": new_id("evt"),
        "shard": shard_of(customer.id),
        "provider": PROVIDER,
    }


def opened(order: Any, price_id: str, checkout_url: str | None) -> OrderOut:
    """The answer for a row of OPEN_BY_PSYCOPG."""
    return OrderOut(
        id=order.id,
        status="pending",
        billing_reason=order.kind,
        kind=order.kind,
        product=ProductOut(id=order.product_id, title=order.product_title),
        price_id=price_id,
        amount=AmountOut(minor=order.amount_minor, currency=order.currency),
        checkout_url=checkout_url,
        payment=PaymentOut(id=order.payment_id, status="pending", provider=PROVIDER),
        created_at=order.created_at,
        expires_at=order.expires_at,
    )


class Asked(TypedDict):
    """What a provider is asked for."""

    payment_id: str
    order_id: str
    amount: Money
    title: str
    return_url: str
    email: str | None


async def open_checkout(**asked: Unpack[Asked]) -> Checkout:
    if _http is None:
        return await _without_http(asked)
    return _checkout(await _http.post(**_request(asked)))


def open_checkout_from_a_thread(**asked: Unpack[Asked]) -> Checkout:
    """The same for a control without coroutines, on a pool of connections of its own."""
    if _http_in_threads is None:
        return _finished(_without_http(asked))
    return _checkout(_http_in_threads.post(**_request(asked)))


async def _without_http(asked: Asked) -> Checkout:
    said = await _instant.create_checkout(
        CheckoutRequest(
            payment_id=asked["payment_id"],
            order_id=asked["order_id"],
            amount=asked["amount"],
            description=asked["title"],
            return_url=asked["return_url"],
            cancel_url=asked["return_url"],
            idempotency_key=asked["payment_id"],
            customer_email=asked["email"],
        )
    )
    return Checkout(said.ref.provider_payment_id, said.checkout_url)


def _finished(call: Coroutine[Any, Any, Checkout]) -> Checkout:
    """The result of a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        checkout: Checkout = done.value
        return checkout
    raise RuntimeError("the provider in this process waited for something")


def _request(asked: Asked) -> dict[str, Any]:
    return {
        "url": f"{PROVIDER_URL}/v1/checkouts",
        "headers": {"idempotency-key": asked["payment_id"]},
        "json": {
            "amount_minor": asked["amount"].minor,
            "currency": asked["amount"].currency,
            "description": asked["title"],
            "metadata": {"payment_id": asked["payment_id"], "order_id": asked["order_id"]},
            "return_url": asked["return_url"],
            "cancel_url": asked["return_url"],
            "customer_email": asked["email"],
        },
    }


def _checkout(answer: httpx.Response) -> Checkout:
    answer.raise_for_status()
    found = answer.json()
    return Checkout(found["id"], found["checkout_url"])


def order_created(order: Any, provider_name: str) -> dict[str, Any]:
    """The data of billing.order.created, with the same fields as ours."""
    return {
        "order_id": order.id,
        "customer_id": order.customer_id,
        "status": order.status,
        "billing_reason": order.billing_reason,
        "product_id": order.product_id,
        "product_title": order.product_title,
        "price_id": order.price_id,
        "kind": order.kind,
        "amount": {"minor": order.amount_minor, "currency": order.currency},
        "subscription_id": None,
        "provider": provider_name,
        "period_start": None,
        "period_end": None,
    }
