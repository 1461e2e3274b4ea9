"""What both FastAPI controls share: settings, the token check as a dependency, body and answer as models."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import httpx
import jwt
from fastapi import Depends, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.instant import InstantProvider
from benchmarks.provider import API_KEY
from benchmarks.provider import NAME as OVER_HTTP
from shared_lib.domain.money import Money
from shared_lib.providers.base import CheckoutRequest

DATABASE_URL = os.environ["BOXOFFICE_DATABASE_URL"]
ISSUER, AUDIENCE = os.environ["BOXOFFICE_AUTH_ISSUER"], os.environ["BOXOFFICE_AUTH_AUDIENCE"]
ORIGINS = tuple(os.environ["BOXOFFICE_RETURN_URL_ORIGINS"].split(","))
ROUTE = "POST /v1/orders"
POOL_SIZE = 16

_jwks = jwt.PyJWKClient(os.environ["BOXOFFICE_AUTH_JWKS_URL"], cache_keys=True, lifespan=3600)
PROVIDER_URL = os.environ.get("PROVIDER_URL", "")  # empty: the provider is in this process
PROVIDER = OVER_HTTP if PROVIDER_URL else InstantProvider.name
_http = (
    httpx.AsyncClient(headers={"authorization": f"Bearer {API_KEY}"}, timeout=30.0) if PROVIDER_URL else None
)
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


async def open_checkout(
    *, payment_id: str, order_id: str, amount: Money, title: str, return_url: str, email: str | None
) -> Checkout:
    if _http is None:
        said = await _instant.create_checkout(
            CheckoutRequest(
                payment_id=payment_id,
                order_id=order_id,
                amount=amount,
                description=title,
                return_url=return_url,
                cancel_url=return_url,
                idempotency_key=payment_id,
                customer_email=email,
            )
        )
        return Checkout(said.ref.provider_payment_id, said.checkout_url)
    answer = await _http.post(
        f"{PROVIDER_URL}/v1/checkouts",
        headers={"idempotency-key": payment_id},
        json={
            "amount_minor": amount.minor,
            "currency": amount.currency,
            "description": title,
            "metadata": {"payment_id": payment_id, "order_id": order_id},
            "return_url": return_url,
            "cancel_url": return_url,
            "customer_email": email,
        },
    )
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
