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
    ROUTE,
    CurrentCustomer,
    IdempotencyKey,
    OrderIn,
    asked_for,
    open_checkout,
    opened,
)
from shared_lib.domain.money import Money

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
    asked = asked_for(body, customer, idempotency_key)
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

    answer = opened(order, body.price_id, said.url).model_dump_json().encode()
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
