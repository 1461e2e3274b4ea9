"""What the story acts through: customers at the gateway, a browser at the provider's page, the clocks of both sides."""

from __future__ import annotations

import asyncio
import html
import re
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, cast

import httpx
import psycopg
from psycopg.rows import dict_row

from infra.local.home import Running
from infra.local.processes import StackError
from infra.local.tokens import token
from shared_lib.contract.events import PLAYBACK_STARTED
from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.events.incoming import binary
from shared_lib.events.proof import EventSigner

Json = dict[str, Any]
CARD: Final = "4242 4242 4242 4242"
OWN_CARD_PREFIX: Final = "42424242"  # the sandbox accepts every valid number that begins so
REST_TIMEOUT_S: Final = 180.0
# Longer than any lease: work whose process died under a lease can be claimed again.
NUDGE: Final = timedelta(seconds=61)
NUDGE_AFTER_S: Final = 4.0
AGAIN_MAX, AGAIN_S = 40, 0.25
_FORM_ACTION: Final = re.compile(r'<form[^<>]* action="([^"<>]+)"')

# A change of auto_renew is mailed one minute later; until then its event is not overdue.
EVENTS_LEFT: Final = """
SELECT count(*) FROM outbox WHERE available_at <= boxoffice_now() OR type <> 'billing.job.tell_auto_renew'"""
# Work that will still be done while the test clock stands still.
UNFINISHED: Final = f"""
SELECT ({EVENTS_LEFT}) AS events,
       (SELECT count(*) FROM payments WHERE status IN ('created', 'sending', 'unknown')) AS payments,
       (SELECT count(*) FROM payments WHERE status IN ('pending', 'action_required')
                                        AND next_check_at <= boxoffice_now()) AS looks,
       (SELECT count(*) FROM refunds WHERE status IN ('requested', 'sending', 'pending', 'unknown')) AS refunds,
       (SELECT count(*) FROM subscriptions WHERE next_action_at <= boxoffice_now()) AS renewals,
       (SELECT count(*) FROM inbox WHERE status = 'parked') AS webhooks
"""


class Town:
    """Real HTTP for everything that a customer, an operator or the cinema does; SQL only to read, and to move the clock."""

    def __init__(
        self,
        running: Running,
        secret: str,
        http: httpx.AsyncClient,
        db: psycopg.AsyncConnection[Json],
        event_secret: str = "",
    ) -> None:
        self.running = running
        self.http = http
        self._secret = secret
        self._event_secret = event_secret
        self._db = db

    async def rows(self, sql: str, *values: Any) -> list[Json]:
        return await (await self._db.execute(sql, values)).fetchall()

    @property
    def public(self) -> str:
        """The address of the gateway for customers."""
        return self.running.public or self.running.gateway

    def reachable(self, url: str) -> str:
        """A customer's link, rewritten for this process: in a container the host's loopback cannot be reached."""
        return url.replace(self.public, self.running.gateway, 1) if url.startswith(self.public) else url

    # ---- time ------------------------------------------------------------------------------------------------

    async def now(self) -> datetime:
        (row,) = await self.rows("SELECT boxoffice_now() AS now")
        return cast("datetime", row["now"])

    async def align_clocks(self) -> None:
        """Set both clocks to the later of the two: a killed run may have moved only one. Clocks only go forward."""
        provider_now = (await self.control("GET", "clock"))["now"]
        ahead = datetime.fromisoformat(provider_now) - await self.now()
        if ahead > timedelta(seconds=1):
            await self._move(ahead)
        elif ahead < timedelta(seconds=-1):
            await self.control("POST", "clock", {"advance_s": -ahead.total_seconds()})

    async def advance(self, by: timedelta) -> None:
        """Move the provider's clock and ours, then wait until all due work is done."""
        await self.control("POST", "clock", {"advance_s": by.total_seconds()})
        await self._move(by)
        await self.rest()

    async def advance_to(self, instant: datetime) -> None:
        await self.advance(max(instant - await self.now(), timedelta()))

    async def _move(self, by: timedelta) -> None:
        await self._db.execute(
            "INSERT INTO test_clock (one, ahead) VALUES (true, %s)"
            " ON CONFLICT (one) DO UPDATE SET ahead = test_clock.ahead + EXCLUDED.ahead",
            [by],
        )

    async def rest(self, *, nudge: bool = False) -> None:
        """Wait until no work is left that runs without further input.

        `nudge` moves the clock past the leases and waits of a killed run. StackError names the work that does not end.
        """
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        nudged, calm = began, 0
        while calm < 2:  # a webhook may be under way between two checks
            waiting = await self.waiting()
            calm = 0 if waiting else calm + 1
            if waiting and loop.time() - began > REST_TIMEOUT_S:
                raise StackError(f"This work does not end: {waiting}. Look into the logs.")
            if waiting and nudge and loop.time() - nudged > NUDGE_AFTER_S:
                nudged = loop.time()
                await self.control("POST", "clock", {"advance_s": NUDGE.total_seconds()})
                await self._move(NUDGE)
            await asyncio.sleep(0.1)

    async def waiting(self) -> dict[str, int]:
        """The amount of unfinished work by kind; empty when there is none."""
        (counts,) = await self.rows(UNFINISHED)
        deliveries = (await self.control("GET", "webhooks"))["deliveries"]
        counts["deliveries"] = sum(one["state"] == "waiting" for one in deliveries)
        return {name: count for name, count in counts.items() if count}

    # ---- the provider ------------------------------------------------------------------------------------------

    async def control(self, method: str, path: str, body: Json | None = None) -> Json:
        """The sandbox's control surface."""
        answer = await self.http.request(method, f"{self.running.sandbox}/control/{path}", json=body)
        return cast("Json", answer.raise_for_status().json())

    async def clear_faults(self) -> None:
        """Remove the faults and webhook rules that an earlier run had set."""
        await self.control("DELETE", "faults")
        await self.control("POST", "webhooks", {"mode": None})
        await self.control("POST", "down", {"down": False})
        await self.control("POST", "webhooks/release", {"order": "arrival"})

    async def books(self) -> Json:
        """The provider's own books."""
        headers = {"authorization": f"Bearer {self._secret}"}
        answer = await self.http.get(f"{self.running.sandbox}/v1/books", headers=headers)
        return cast("Json", answer.raise_for_status().json())

    async def pay(self, checkout_url: str, number: str = CARD) -> None:
        """Open the page and send its form, as a browser would. StackError unless the payment went through."""
        page = await self.http.get(self.reachable(checkout_url))
        action = form_action(page)
        if page.status_code != 200 or action is None:
            raise StackError(f"{checkout_url} shows no form to pay ({page.status_code}).")
        typed = {"number": number, "expires": "12 / 69", "cvc": "123", "holder": "A Customer"}
        answer = await self.http.post(action, data=typed, follow_redirects=False)
        if answer.status_code != 303:
            raise StackError(f"The provider did not take the card: {answer.status_code}")

    # ---- the cinema --------------------------------------------------------------------------------------------

    async def play(self, customer_id: str, product_id: str) -> None:
        """The cinema reports that the customer started to watch."""
        instant = (await self.now()).isoformat()
        headers, body = binary(
            event_id=f"evt_{uuid.uuid4().hex}",
            kind=PLAYBACK_STARTED,
            subject=customer_id,
            partition_key=customer_id,
            time_=instant,
            data={"customer_id": customer_id, "product_id": product_id, "started_at": instant},
        )
        url = self.running.doors["playback"] + EVENTS_PATH
        signed = EventSigner([self._event_secret], partial(datetime.now, UTC)).signed(headers, body)
        (await self.http.post(url, content=body, headers=signed)).raise_for_status()


@dataclass(frozen=True, slots=True)
class Visitor:
    """A customer or an operator with a token, at the gateway."""

    town: Town
    id: str
    name: str
    token: str

    @classmethod
    async def comes(cls, town: Town, name: str, run: str, scope: str = "billing:customer") -> Visitor:
        id_ = f"{name.lower()}-{run}"
        return cls(town, id_, name, await token(town.running, id_, scope))

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """One call, with a fresh Idempotency-Key for POST. A 502, 503 or 504 is retried: the function may be restarting."""
        headers = {"authorization": f"Bearer {self.token}"}
        if method == "POST":
            headers["idempotency-key"] = f'"{uuid.uuid4()}"'
        url = self.town.running.gateway + path
        answer = await self.town.http.request(method, url, json=body, headers=headers)
        for _ in range(AGAIN_MAX):
            if answer.status_code not in (502, 503, 504):
                break
            await asyncio.sleep(AGAIN_S)
            answer = await self.town.http.request(method, url, json=body, headers=headers)
        return answer

    async def get(self, path: str) -> Json:
        answer = await self.call("GET", path)
        if answer.status_code != 200:
            raise StackError(f"GET {path} answered {answer.status_code}: {answer.text}")
        return cast("Json", answer.json())

    async def order(self, price_id: str) -> tuple[int, Json]:
        """Order at a price. Returns the status of the answer and the order."""
        wanted = {"price_id": price_id, "return_url": self.town.public + "/thanks"}
        answer = await self.call("POST", "/v1/orders", wanted)
        if answer.status_code not in (201, 202):
            raise StackError(f"The order was answered {answer.status_code}: {answer.text}")
        return answer.status_code, answer.json()

    async def until(self, order_id: str, timeout_s: float = 120.0, **wanted: Any) -> Json:
        """Long-poll until the order has the wanted values; `...` stands for anything but null."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        order = await self.get(f"/v1/orders/{order_id}")
        while not all(order[k] == v or (v is ... and order[k] is not None) for k, v in wanted.items()):
            if loop.time() > deadline:
                raise StackError(f"Order {order_id} did not reach {wanted}: {order}")
            order = await self.get(f"/v1/orders/{order_id}?wait=2")
        return order

    async def buys(self, price_id: str, number: str = CARD) -> Json:
        """Order, pay on the provider's page, wait for its webhook."""
        _, order = await self.order(price_id)
        await self.town.pay(order["checkout_url"], number)
        return await self.until(order["id"], status="paid")

    async def subscription(self) -> Json:
        items: list[Json] = (await self.get("/v1/subscriptions"))["items"]
        return items[-1]

    async def entitlements(self) -> list[Json]:
        items: list[Json] = (await self.get("/v1/entitlements"))["items"]
        return items


def own_card() -> str:
    """A new card number: each card gets one trial per plan."""
    digits = OWN_CARD_PREFIX + f"{secrets.randbelow(10**7):07}"
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[::2]]
    rest = sum(doubled) + sum(map(int, digits[1::2]))
    return f"{digits}{-rest % 10}"


def form_action(page: httpx.Response) -> httpx.URL | None:
    """The address that the page's form posts to; None without a form."""
    found = _FORM_ACTION.search(page.text)
    return page.url.join(html.unescape(found[1])) if found else None


@asynccontextmanager
async def open_town(
    running: Running, secret: str, kind: Callable[..., Town] = Town, *, event_secret: str = ""
) -> AsyncIterator[Town]:
    """`secret` is the provider's API key: its books are not public. With `event_secret` the cinema signs its events."""
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(60.0, connect=5.0), trust_env=False) as http,
        await psycopg.AsyncConnection.connect(
            running.database_url, autocommit=True, row_factory=dict_row
        ) as db,
    ):
        yield kind(running, secret, http, db, event_secret)
