"""Control (w): FastAPI and a durable workflow of DBOS around the hand-written SQL of (b), on the same PostgreSQL.

Set up as its documentation says: the customer's key is the workflow's id, each commit is a transaction of a datasource (its
rows and its checkpoint commit together), the provider is asked in a step. Four choices make it faster than its defaults:
ordinary functions in threads (coroutines took half as much processor time again), READ COMMITTED, no ping when a connection
leaves the pool, and a datasource pool as large as that of the other controls.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final

from dbos import DBOS, SetWorkflowID, SQLAlchemyDatasource
from fastapi import FastAPI, HTTPException, Response

from benchmarks.controls.statements import OPEN_BY_PSYCOPG, SETTLE_BY_PSYCOPG
from benchmarks.controls.web import (
    DATABASE_URL,
    POOL_SIZE,
    ROUTE,
    CurrentCustomer,
    IdempotencyKey,
    OrderIn,
    asked_for,
    open_checkout_from_a_thread,
    opened,
)
from shared_lib.domain.money import Money

READ_COMMITTED: Final = "READ COMMITTED"

DBOS(
    config={
        "name": "orders",
        "system_database_url": DATABASE_URL,
        "executor_id": f"door-{os.getpid()}",
        "db_engine_kwargs": {"pool_pre_ping": False},
    }
)
rows: Final = SQLAlchemyDatasource.create(
    DATABASE_URL, engine_kwargs={"pool_size": POOL_SIZE, "max_overflow": 0}
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    DBOS.launch()
    yield
    DBOS.destroy()


app = FastAPI(lifespan=lifespan)


@app.get("/livez")
async def livez() -> str:
    return "alive"


@app.post("/v1/orders", status_code=201)
def create_order(body: OrderIn, customer: CurrentCustomer, idempotency_key: IdempotencyKey) -> Response:
    body.check()
    asked = asked_for(body, customer, idempotency_key)
    with SetWorkflowID(f"{customer.id} {idempotency_key}"):
        said = take_order(asked)
    if said is None:
        raise HTTPException(409, "this price is not sold, or not to you")
    if said["fingerprint"] != asked["fingerprint"]:
        raise HTTPException(422, "this key was used for a different request")
    return Response(said["body"], 201, {"Location": said["location"]}, "application/json")


@DBOS.workflow()
def take_order(asked: dict[str, Any]) -> dict[str, Any] | None:
    order = open_order(asked)
    if order is None:
        return None
    ref, url = ask_provider(order, asked["return_url"], asked["email"])
    reply = opened(SimpleNamespace(**order), asked["price_id"], url).model_dump_json().encode()
    location = f"/v1/orders/{order['id']}"
    settle_order(
        {
            "ref": ref,
            "url": url,
            "payment_id": order["payment_id"],
            "body": reply,
            "location": location,
            "customer_id": asked["customer_id"],
            "key": asked["key"],
        }
    )
    return {"body": reply, "location": location, "fingerprint": asked["fingerprint"]}


@rows.transaction(isolation_level=READ_COMMITTED)
def open_order(asked: dict[str, Any]) -> dict[str, Any] | None:
    """None: the price cannot be sold; then the key is free again."""
    db = rows.sql_session().connection()
    order = db.exec_driver_sql(OPEN_BY_PSYCOPG, asked).mappings().first()
    if order is None:
        delete = f"DELETE FROM idempotency_keys WHERE customer_id = %s AND route = '{ROUTE}' AND key = %s"
        db.exec_driver_sql(delete, (asked["customer_id"], asked["key"]))
        return None
    return dict(order)


@DBOS.step()
def ask_provider(order: dict[str, Any], return_url: str, email: str | None) -> tuple[str, str | None]:
    said = open_checkout_from_a_thread(
        payment_id=order["payment_id"],
        order_id=order["id"],
        amount=Money(order["amount_minor"], order["currency"]),
        title=order["product_title"],
        return_url=return_url,
        email=email,
    )
    return said.payment_id, said.url


@rows.transaction(isolation_level=READ_COMMITTED)
def settle_order(settled: dict[str, Any]) -> None:
    rows.sql_session().connection().exec_driver_sql(SETTLE_BY_PSYCOPG, settled)
