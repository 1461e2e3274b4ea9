"""Steps that several flows share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import jwt

from shared_lib.billing.due import RenewalRequest
from shared_lib.phases.renewals import OpenedRenewal, open_renewals
from shared_lib.queries.due import due_subscriptions
from tests.kit.cinema import AUDIENCE, AUTH_ISSUER, RETURN_URL, Cinema
from tests.kit.waiting import until

BASIC, PLUS, PLUS_YEAR = "prc_basic_month", "prc_plus_month", "prc_plus_year"
FILM, RENTAL = "prc_metropolis_buy", "prc_metropolis_rent"
LATER_SOFT, LATER_HARD = "4000000000000341", "4000000000000069"
LATER_CHALLENGE = "4000002500003155"
LATE_ON_PURPOSE = timedelta(minutes=1)
OPERATOR = ("billing:operator",)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def bearer(cinema: Cinema, customer: str = "ann", **claims: Any) -> dict[str, str]:
    """A token with claims the stand-in Auth service does not issue; a claim of None is left out."""
    key, now = cinema.keys.by_algorithm["EdDSA"], datetime.now(UTC)
    claims = {
        "iss": AUTH_ISSUER,
        "aud": AUDIENCE,
        "sub": customer,
        "iat": now,
        "exp": now + timedelta(hours=1),
        "scope": "billing:customer",
        "email": f"{customer}@example.com",
    } | claims
    given = {name: value for name, value in claims.items() if value is not None}
    headers = {"kid": key.kid, "typ": "at+jwt"}
    return {"authorization": "Bearer " + jwt.encode(given, key.private, algorithm="EdDSA", headers=headers)}


async def to(cinema: Cinema, instant: datetime) -> None:
    """Move the clocks to an instant ahead."""
    await cinema.advance(instant - cinema.now())


async def order_as(
    cinema: Cinema, price_id: str, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    return await cinema.call(
        "POST", "/v1/orders", {"price_id": price_id, "return_url": RETURN_URL, **body}, headers=headers
    )


async def bought_as(cinema: Cinema, price_id: str, headers: dict[str, str]) -> dict[str, Any]:
    """Order with a token of its own, pay on the page, and wait for the webhook."""
    order = (await order_as(cinema, price_id, headers)).json()
    await cinema.pay(order["checkout_url"])
    await until(lambda: order_status(cinema, order["id"]) == "paid")
    return cast("dict[str, Any]", order)


async def meanwhile(work: Awaitable[Any], true: Callable[[], bool]) -> asyncio.Task[Any]:
    """Start the work and return its task once `true()` holds."""
    task = asyncio.ensure_future(work)
    await until(true)
    return task


def order_status(cinema: Cinema, order_id: str) -> str:
    return cast("str", cinema.value("SELECT status FROM orders WHERE id = %s", order_id))


def payments(cinema: Cinema, columns: str = "status") -> list[Any]:
    """Payments in the order they were made; plain values for one column."""
    rows = cinema.rows(f"SELECT {columns} FROM payments ORDER BY created_at, id")
    return [row[0] for row in rows] if "," not in columns else rows


async def subscription(cinema: Cinema, customer: str = "ann") -> dict[str, Any]:
    (found,) = (await cinema.get("/v1/subscriptions", customer=customer))["items"]
    return cast("dict[str, Any]", found)


async def watchable(cinema: Cinema, customer: str = "ann") -> list[str]:
    return [e["product_id"] for e in (await cinema.get("/v1/entitlements", customer=customer))["items"]]


async def period_end(cinema: Cinema) -> datetime:
    return datetime.fromisoformat((await subscription(cinema))["period"]["end"])


async def opened_by_a_dead_process(cinema: Cinema) -> None:
    """What a process leaves behind that dies before it charges: renewals that are opened, under a lease that will end."""
    due = await cinema.rt.read(due_subscriptions, 1000)
    opened = await cinema.rt.run_all(open_renewals, [RenewalRequest(subscription_id=one.id) for one in due])
    assert all(isinstance(one, OpenedRenewal) and one.to_charge for one in opened)


async def to_period_end(cinema: Cinema) -> datetime:
    """Move the clocks to just after the end of the period; returns that end."""
    end = await period_end(cinema)
    await to(cinema, end + LATE_ON_PURPOSE)
    return end


async def renewed(cinema: Cinema) -> dict[str, Any]:
    """The subscription after the ticks of its next renewal. A tick passes over what a late webhook holds just then."""
    await to_period_end(cinema)
    due = "SELECT count(*) FROM subscriptions WHERE next_action_at <= boxoffice_now()"
    for _ in range(200):
        await cinema.tick()
        if cinema.rows(due) == [(0,)]:
            break
        await asyncio.sleep(0.05)
    return await subscription(cinema)


async def opt_out(cinema: Cinema, *, auto_renew: bool = False) -> dict[str, Any]:
    (id_,) = (row[0] for row in cinema.rows("SELECT id FROM subscriptions"))
    answer = await cinema.call("PATCH", f"/v1/subscriptions/{id_}", {"auto_renew": auto_renew})
    assert answer.status_code == 200, answer.text
    return cast("dict[str, Any]", answer.json())


async def bank_says(cinema: Cinema, *codes: str | None) -> None:
    """What the bank answers to the next charges of the newest saved card; None approves."""
    ref = cinema.value("SELECT provider_ref FROM payment_methods ORDER BY id DESC LIMIT 1")
    answer = await cinema.control(f"/control/methods/{ref}/next", {"codes": list(codes)})
    assert answer.is_success, answer.text


async def trouble(cinema: Cinema, kind: str, operation: str, **more: Any) -> None:
    answer = await cinema.control("/control/faults", {"kind": kind, "operation": operation, **more})
    assert answer.is_success, answer.text


async def provider_down(cinema: Cinema, *, down: bool = True, how: str = "drop") -> None:
    answer = await cinema.control("/control/down", {"down": down, "how": how})
    assert answer.is_success, answer.text


async def give_back(cinema: Cinema, order: dict[str, Any], **body: Any) -> httpx.Response:
    return await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wish", **body})


async def operator_gives_back(cinema: Cinema, order: dict[str, Any], **body: Any) -> httpx.Response:
    wanted = {"order_id": order["id"], "reason": "goodwill", **body}
    return await cinema.call("POST", "/v1/refunds", wanted, customer="oscar", scopes=OPERATOR)


def ref_of(cinema: Cinema, order: dict[str, Any]) -> str:
    return str(cinema.value("SELECT provider_ref FROM payments WHERE id = %s", order["payment"]["id"]))


async def provider_says(cinema: Cinema, ref: str, *, told: bool = True, **state: Any) -> None:
    answer = await cinema.control(f"/control/payments/{ref}/state", {"told": told, **state})
    assert answer.is_success, answer.text


async def all_settled(cinema: Cinema) -> None:
    """Tick and move the clocks until our ledger holds what the provider captured and no refund is open."""
    for _ in range(100):
        await cinema.tick()
        theirs = (await cinema.books())["currencies"]
        held = sum(book["captured_minor"] for book in theirs.values())
        booked = cinema.value(
            "SELECT coalesce(sum(amount_minor), 0) FROM ledger_entries WHERE leg LIKE 'captured%%'"
        )
        under_way = cinema.value("SELECT count(*) FROM refunds WHERE status NOT IN ('succeeded', 'failed')")
        if held == booked and not under_way:
            return
        await cinema.advance(timedelta(seconds=61))
    raise AssertionError("it never settled")


async def twin_of(cinema: Cinema, order: dict[str, Any]) -> str:
    answer = await cinema.control(f"/control/payments/{ref_of(cinema, order)}/twin", {})
    assert answer.is_success, answer.text
    return str(answer.json()["id"])
