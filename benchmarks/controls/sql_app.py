"""Control (b): FastAPI and psycopg with hand-written SQL, one statement per commit, a pool of 16. No batching."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.controls.statements import OPEN_BY_PSYCOPG, SETTLE_BY_PSYCOPG
from benchmarks.controls.web import (
    DATABASE_URL,
    POOL_SIZE,
    PROVIDER,
    ROUTE,
    AmountOut,
    CurrentCustomer,
    IdempotencyKey,
    OrderIn,
    OrderOut,
    PaymentOut,
    ProductOut,
    open_checkout,
)
from shared_lib.domain.money import Money
from shared_lib.ids import new_id
from shared_lib.store.outbox import shard_of

pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
    DATABASE_URL,
    min_size=POOL_SIZE,
    max_size=POOL_SIZE,
    open=False,
    kwargs={"autocommit": True, "row_factory": namedtuple_row, "prepare_threshold": 1},
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/livez")
async def livez() -> str:
    return "alive"


@app.post("/v1/orders", status_code=201)
async def create_order(body: OrderIn, customer: CurrentCustomer, idempotency_key: IdempotencyKey) -> Response:
    body.check()
    asked = {
        "customer_id": customer.id,
        "email": customer.email,
        "locale": customer.locale,
        "key": idempotency_key,
        "fingerprint": body.fingerprint(),
        "price_id": body.price_id,
        "return_url": body.return_url,
        "order_id": new_id("ord"),
        "payment_id": new_id("pay"),
        "event_id": new_id("evt"),
        "shard": shard_of(customer.id),
        "provider": PROVIDER,
    }
    async with pool.connection() as db:
        cursor = await db.execute(OPEN_BY_PSYCOPG, asked)
        order = await cursor.fetchone()
        if order is None:
            return await refuse(db, asked)

    said = await open_checkout(
        payment_id=order.payment_id,
        order_id=order.id,
        amount=Money(order.amount_minor, order.currency),
        title=order.product_title,
        return_url=body.return_url,
        email=customer.email,
    )

    answer = show(order, body, said.url).model_dump_json().encode()
    location = f"/v1/orders/{order.id}"
    async with pool.connection() as db:
        await db.execute(
            SETTLE_BY_PSYCOPG,
            {
                "ref": said.payment_id,
                "url": said.url,
                "payment_id": order.payment_id,
                "body": answer,
                "location": location,
                "customer_id": customer.id,
                "key": idempotency_key,
            },
        )
    return Response(answer, 201, {"Location": location}, "application/json")


async def refuse(db: Any, asked: dict[str, Any]) -> Response:
    """The key was used before, or the price cannot be sold: then the key is free again."""
    cursor = await db.execute(
        """
        SELECT fingerprint, resource_id, reply_status, reply_body FROM idempotency_keys
        WHERE customer_id = %(customer_id)s AND route = 'POST /v1/orders' AND key = %(key)s
        """,
        asked,
    )
    saved = await cursor.fetchone()
    if saved is not None and saved.resource_id == asked["order_id"]:
        delete = f"DELETE FROM idempotency_keys WHERE customer_id = %s AND route = '{ROUTE}' AND key = %s"
        await db.execute(delete, [asked["customer_id"], asked["key"]])
        raise HTTPException(409, "this price is not sold, or not to you")
    if saved is None or saved.reply_status is None:
        raise HTTPException(409, "a request with this key is being worked on")
    if saved.fingerprint != asked["fingerprint"]:
        raise HTTPException(422, "this key was used for a different request")
    return Response(saved.reply_body, saved.reply_status, media_type="application/json")


def show(order: Any, body: OrderIn, checkout_url: str | None) -> OrderOut:
    return OrderOut(
        id=order.id,
        status="pending",
        billing_reason=order.kind,
        kind=order.kind,
        product=ProductOut(id=order.product_id, title=order.product_title),
        price_id=body.price_id,
        amount=AmountOut(minor=order.amount_minor, currency=order.currency),
        checkout_url=checkout_url,
        payment=PaymentOut(id=order.payment_id, status="pending", provider=PROVIDER),
        created_at=order.created_at,
        expires_at=order.expires_at,
    )
