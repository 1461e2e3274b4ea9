"""One event for each door, as it is sent to it, and the ways to send it otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import httpx

from shared_lib.events.incoming import binary
from shared_lib.events.proof import EventSigner
from tests.kit.cinema import EVENT_SECRET, Cinema

# A door and what it is sent. The doors that take no event at all refuse like the others.
ADDRESSED: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "account": ("billing.order.paid", {}),
    "create_order": ("billing.job.start_payment", {"payment_id": "pay_nobody"}),
    "notify": ("billing.order.created", {"customer_id": "ann"}),
    "playback": (
        "cinema.playback.started",
        {"customer_id": "ann", "product_id": "prd_metropolis", "started_at": "2026-01-01T00:00:00Z"},
    ),
    "reconcile": ("billing.tick.reconcile", {}),
    "refund": ("billing.job.start_refund", {"refund_id": "ref_nobody"}),
    "renew": ("billing.tick.renewal", {}),
    "subscription": ("billing.subscription.renewed", {}),
    "webhook": ("billing.payment.succeeded", {}),
}
TAKERS: Final = ("create_order", "notify", "playback", "reconcile", "refund", "renew")


def event(door: str, event_id: str = "evt_proof") -> tuple[dict[str, str], bytes]:
    """Headers and body, not signed."""
    kind, data = ADDRESSED[door]
    return binary(
        event_id=event_id,
        kind=kind,
        subject="s",
        partition_key="ann",
        time_="2030-01-01T00:00:00Z",
        data=data,
    )


def signer(cinema: Cinema, *, secret: str = EVENT_SECRET, off_by: timedelta = timedelta()) -> EventSigner:
    return EventSigner([secret], partial(_shifted, cinema.rt.now, off_by))


def _shifted(now: Callable[[], datetime], by: timedelta) -> datetime:
    return now() + by


async def post(cinema: Cinema, door: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
    return await cinema.http.post(f"{cinema.url}/_door/{door}/events", content=body, headers=dict(headers))


def structured(door: str) -> tuple[dict[str, str], bytes]:
    kind, data = ADDRESSED[door]
    whole = {"specversion": "1.0", "id": "evt_structured", "source": "/boxoffice", "type": kind, "data": data}
    return {"content-type": "application/cloudevents+json"}, json.dumps(whole).encode()
