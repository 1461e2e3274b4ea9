"""Webhooks of the sandbox provider, made by hand and signed as it signs them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from infra.sandbox.faces.native.events import sign
from tests.kit.cinema import Cinema

PATH = "/v1/webhooks/sandbox"


def paid(
    payment_id: str = "pay_x", order_id: str = "ord_x", *, minor: int = 1299, **more: Any
) -> dict[str, Any]:
    """The body of the webhook that the sandbox sends when a checkout was paid."""
    metadata = {"payment_id": payment_id, "order_id": order_id}
    data = {
        "id": f"sp_{payment_id}", "object": "payment", "status": "succeeded", "amount_minor": minor,
        "captured_minor": minor, "refunded_minor": 0, "currency": "EUR", "metadata": metadata,
        "created_at": "2030-01-01T00:00:00Z", "livemode": False, **more,
    }  # fmt: skip
    return {"type": "payment.succeeded", "timestamp": "2030-01-01T00:00:00Z", "data": data}


async def deliver(
    cinema: Cinema,
    body: bytes,
    secret: str,
    *,
    id_: str = "msg_1",
    off: timedelta = timedelta(0),
    path: str = PATH,
    signed: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    at = int((datetime.now(UTC) + off).timestamp())
    own = {
        "webhook-id": id_,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(secret, id_, at, body if signed is None else signed),
    }
    return await cinema.http.post(
        cinema.url + path,
        content=body,
        headers={name.encode(): value.encode() for name, value in (own | dict(headers or {})).items()},
    )
