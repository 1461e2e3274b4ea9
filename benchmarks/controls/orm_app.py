"""Control (a): FastAPI and the SQLAlchemy 2 async ORM, written the usual way, one session per request.

DRIVER says by which driver: psycopg, the one we use ourselves, or asyncpg, the fastest there is.

The same tables, checks and rows as ours: key, customer, order, payment and event in one commit, then the provider, then
payment and saved answer in another.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Response
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.controls.web import (
    DATABASE_URL,
    POOL_SIZE,
    PROVIDER,
    ROUTE,
    AmountOut,
    CurrentCustomer,
    Customer,
    IdempotencyKey,
    OrderIn,
    OrderOut,
    PaymentOut,
    ProductOut,
    open_checkout,
    order_created,
)
from shared_lib.billing.events import FACTS
from shared_lib.domain.money import Money
from shared_lib.ids import new_id
from shared_lib.store.outbox import shard_of
from shared_lib.store.tables import (
    CustomerRow,
    EntitlementRow,
    IdempotencyKeyRow,
    OrderRow,
    OutboxRow,
    PaymentRow,
    PriceRow,
    ProductRow,
)

engine = create_async_engine(
    DATABASE_URL.replace("postgresql://", f"postgresql+{os.environ['DRIVER']}://"),
    pool_size=POOL_SIZE,
    max_overflow=0,
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


@app.get("/livez")
async def livez() -> str:
    return "alive"


@app.post("/v1/orders", status_code=201)
async def create_order(
    body: OrderIn, customer: CurrentCustomer, idempotency_key: IdempotencyKey, db: Session
) -> Response:
    body.check()
    saved = await db.get(IdempotencyKeyRow, (customer.id, ROUTE, idempotency_key))
    if saved is not None:
        return replay(saved, body)

    now = datetime.now(UTC)
    price, product = await find_price(db, body.price_id, customer, now)
    await keep_customer(db, customer, now)
    order = make_order(body, customer, price, product, now)
    payment = make_payment(order, now)
    db.add(make_key(body, customer, idempotency_key, order, now))
    db.add(order)
    try:
        await db.flush()  # the payment refers to the order
    except IntegrityError as error:
        raise HTTPException(409, "a request with this key is being worked on") from error
    db.add(payment)
    db.add(make_event(order, now))
    await db.commit()

    said = await open_checkout(
        payment_id=payment.id,
        order_id=order.id,
        amount=Money(order.amount_minor, order.currency),
        title=order.product_title,
        return_url=order.return_url,
        email=customer.email,
    )

    payment = await db.get_one(PaymentRow, payment.id, with_for_update=True, populate_existing=True)
    payment.status = "pending"
    payment.provider_ref = said.payment_id
    payment.checkout_url = said.url
    payment.next_check_at = now + timedelta(minutes=10)
    payment.checks += 1
    payment.lease_until = None
    key = await db.get_one(IdempotencyKeyRow, (customer.id, ROUTE, idempotency_key))
    answer = show(order, payment).model_dump_json().encode()
    key.reply_status, key.reply_body, key.reply_location = 201, answer, f"/v1/orders/{order.id}"
    await db.commit()
    return Response(answer, 201, {"Location": key.reply_location}, "application/json")


def replay(saved: IdempotencyKeyRow, body: OrderIn) -> Response:
    if saved.fingerprint != body.fingerprint():
        raise HTTPException(422, "this key was used for a different request")
    if saved.reply_status is None:
        raise HTTPException(409, "a request with this key is being worked on")
    return Response(saved.reply_body, saved.reply_status, media_type="application/json")


async def find_price(
    db: AsyncSession, price_id: str, customer: Customer, now: datetime
) -> tuple[PriceRow, ProductRow]:
    query = select(PriceRow, ProductRow).join(ProductRow, PriceRow.product_id == ProductRow.id)  # type: ignore[arg-type]
    found = (await db.execute(query.where(PriceRow.id == price_id))).one_or_none()  # type: ignore[arg-type]
    if found is None:
        raise HTTPException(404, "there is no such price")
    price, product = found
    if price.sellable_from > now or (price.sellable_until and price.sellable_until <= now):
        raise HTTPException(409, "this price is not on sale now")
    if price.kind == "purchase":
        owned = select(EntitlementRow.id).where(  # type: ignore[call-overload]
            EntitlementRow.customer_id == customer.id,
            EntitlementRow.product_id == price.product_id,
            EntitlementRow.kind == "purchase",
            EntitlementRow.status == "active",
        )
        if (await db.execute(owned.limit(1))).first() is not None:
            raise HTTPException(409, "you have bought this title already")
    return price, product


async def keep_customer(db: AsyncSession, customer: Customer, now: datetime) -> None:
    row = await db.get(CustomerRow, customer.id)
    if row is None:
        db.add(
            CustomerRow(
                id=customer.id,
                email=customer.email,
                locale=customer.locale,
                time_zone="UTC",
                updated_at=now,
            )
        )
    elif (row.email, row.locale) != (customer.email, customer.locale):
        row.email, row.locale, row.updated_at = customer.email, customer.locale, now


def make_key(
    body: OrderIn, customer: Customer, key: str, order: OrderRow, now: datetime
) -> IdempotencyKeyRow:
    return IdempotencyKeyRow(
        customer_id=customer.id,
        route=ROUTE,
        key=key,
        fingerprint=body.fingerprint(),
        resource_id=order.id,
        locked_until=now + timedelta(seconds=30),
        expires_at=now + timedelta(hours=72),
    )


def make_order(
    body: OrderIn, customer: Customer, price: PriceRow, product: ProductRow, now: datetime
) -> OrderRow:
    return OrderRow(
        id=new_id("ord"),
        customer_id=customer.id,
        price_id=price.id,
        product_id=product.id,
        product_title=product.title,
        kind=price.kind,
        billing_reason=price.kind,
        status="pending",
        amount_minor=price.amount_minor,
        currency=price.currency,
        provider=PROVIDER,
        return_url=body.return_url,
        created_at=now,
        expires_at=now + timedelta(hours=24),
        version=1,
    )


def make_payment(order: OrderRow, now: datetime) -> PaymentRow:
    return PaymentRow(
        id=new_id("pay"),
        order_id=order.id,
        provider=order.provider,
        flow="checkout",
        status="sending",
        surplus=False,
        attempt=1,
        amount_minor=order.amount_minor,
        currency=order.currency,
        captured_minor=0,
        refund_reserved_minor=0,
        refunded_minor=0,
        fence=1,
        lease_until=now + timedelta(seconds=60),
        first_sent_at=now,
        checks=0,
        next_check_at=now + timedelta(seconds=60),
        created_at=now,
    )


def make_event(order: OrderRow, now: datetime) -> OutboxRow:
    return OutboxRow(
        event_id=new_id("evt"),
        topic=FACTS,
        type="billing.order.created",
        subject=order.id,
        sequence=1,
        partition_key=order.customer_id,
        shard=shard_of(order.customer_id),
        data=order_created(order, order.provider),
        created_at=now,
        available_at=now,
        attempts=0,
    )


def show(order: OrderRow, payment: PaymentRow) -> OrderOut:
    return OrderOut(
        id=order.id,
        status=order.status,
        billing_reason=order.billing_reason,
        kind=order.kind,
        product=ProductOut(id=order.product_id, title=order.product_title),
        price_id=order.price_id,
        amount=AmountOut(minor=order.amount_minor, currency=order.currency),
        checkout_url=payment.checkout_url,
        payment=PaymentOut(id=payment.id, status=payment.status, provider=payment.provider),
        created_at=order.created_at,
        expires_at=order.expires_at,
    )
