"""The story of the demo: a few customers, a year and a month, and what goes wrong in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from infra.demo.timeline import Timeline, cents, shown
from infra.demo.town import Json, Town, Visitor, own_card
from shared_lib.billing.events import FactType, JobType

HOUR = timedelta(hours=1)
AFTER_SWITCH_MAIL = timedelta(minutes=2)  # the mail goes out when automatic renewal was off for one minute
MONTHS = 12


class Story:
    """One run, with new customers, so that it can be repeated on the same data."""

    def __init__(self, town: Town, line: Timeline, run: str) -> None:
        self._town = town
        self._line = line
        self._run = run

    async def play(self) -> None:
        """All chapters in order. StackError at the first result that is not as expected."""
        await self.a_film_is_bought_and_watched()
        await self.a_film_is_rented()
        tess = await self.a_trial_begins()
        mona = await self.a_webhook_comes_twice()
        dan = await self.a_webhook_is_late()
        await self.money_goes_back()
        await self.the_provider_hangs()
        await self.the_trial_ends(tess)
        await self.a_renewal_is_declined(dan)
        await self.a_year_passes(mona)
        await self.they_opt_out(tess, mona, dan)

    async def comes(self, name: str, scope: str = "billing:customer") -> Visitor:
        return await Visitor.comes(self._town, name, self._run, scope)

    async def day(self, what: str, *, apart: bool = True) -> None:
        self._line.day(await self._town.now(), what, apart=apart)

    def proof(self, text: str, *, holds: bool = True) -> None:
        self._line.proof(text, holds=holds)

    async def a_film_is_bought_and_watched(self) -> None:
        vera = await self.comes("Vera")
        catalog = (await vera.get("/v1/catalog"))["items"]
        await self.day("Vera looks at the catalog")
        self.proof(
            ", ".join(dict.fromkeys(price["product"]["title"] for price in catalog)), holds=bool(catalog)
        )
        order = await vera.buys("prc_metropolis_buy")
        await self.day(f"Vera buys {order['product']['title']} and pays {shown(order['amount'])} on the page")
        (access,) = await vera.entitlements()
        self.proof(f"paid by signed webhook; access {access['id']} for good", holds=access["ends_at"] is None)
        await self._town.play(vera.id, "prd_metropolis")
        (access,) = await vera.entitlements()
        await self.day("Vera starts to watch")
        self.proof(
            f"first played at {access['first_played_at']}", holds=access["first_played_at"] is not None
        )
        answer = await vera.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "boring"})
        code = answer.json().get("code")
        await self.day("Vera wants her money back")
        self.proof(f"refused: {answer.status_code} {code}", holds=code == "refund_started")

    async def a_film_is_rented(self) -> None:
        rosa = await self.comes("Rosa")
        order = await rosa.buys("prc_stalker_rent")
        (before,) = await rosa.entitlements()
        await self.day(f"Rosa rents {order['product']['title']} for {shown(order['amount'])}")
        self.proof(
            f"30 days to start it: until {before['ends_at']}", holds=lasts(before) == timedelta(days=30)
        )
        await self._town.play(rosa.id, "prd_stalker")
        (after,) = await rosa.entitlements()
        await self.day("Rosa presses play")
        self.proof(
            f"48 hours to finish it: until {after['ends_at']}", holds=after["ends_at"] < before["ends_at"]
        )

    async def a_trial_begins(self) -> Visitor:
        tess = await self.comes("Tess")
        order = await tess.buys("prc_plus_month", own_card())
        subscription = await tess.subscription()
        await self.day(f"Tess tries {order['product']['title']}: 14 days free")
        holds = order["amount"]["minor"] == 0 and subscription["status"] == "trialing"
        self.proof(f"card verified with {shown(order['amount'])}; {subscription['status']}", holds=holds)
        return tess

    async def a_webhook_comes_twice(self) -> Visitor:
        mona = await self.comes("Mona")
        await self._town.control("POST", "webhooks", {"mode": "duplicate", "times": 1})
        order = await mona.buys("prc_basic_month")
        await self._town.rest()
        await self.day(f"Mona subscribes to {order['product']['title']}; the provider's webhook comes twice")
        entries = await self.entries(order)
        self.proof(f"{len(entries)} ledger entry of {shown(order['amount'])}", holds=len(entries) == 1)
        return mona

    async def a_webhook_is_late(self) -> Visitor:
        dan = await self.comes("Dan")
        await self._town.control("POST", "webhooks", {"mode": "delay", "delay_ms": 1500, "times": 1})
        _, order = await dan.order("prc_basic_month")
        await self._town.pay(order["checkout_url"])
        early = await dan.get(f"/v1/orders/{order['id']}")
        order = await dan.until(order["id"], status="paid")
        await self.day(f"Dan subscribes to {order['product']['title']}; the webhook is late")
        self.proof(
            f"{early['status']} until it came, then {order['status']}", holds=early["status"] == "pending"
        )
        return dan

    async def money_goes_back(self) -> None:
        kim, olga = await self.comes("Kim"), await self.comes("Olga", "billing:operator")
        film, other = await kim.buys("prc_metropolis_buy"), await kim.buys("prc_stalker_buy")
        answer = await kim.call("POST", "/v1/refunds", {"order_id": film["id"], "reason": "wrong film"})
        film = await kim.get(f"/v1/orders/{film['id']}")
        await self.day(f"Kim buys two films and returns {film['product']['title']}, not yet started")
        owned = [access["product_id"] for access in await kim.entitlements()]
        holds = film["status"] == "refunded" and owned == ["prd_stalker"]
        self.proof(f"{shown(answer.json()['amount'])} back, order {film['status']}, access gone", holds=holds)
        wanted = {
            "order_id": other["id"],
            "reason": "sorry for the noise",
            "amount_minor": 500,
            "access": "keep",
        }
        await olga.call("POST", "/v1/refunds", wanted)
        other = await kim.get(f"/v1/orders/{other['id']}")
        await self.day(
            f"Olga, an operator, gives {shown(other['refunded'])} of {shown(other['amount'])} back"
        )
        holds = other["refunded"]["minor"] == 500 and len(await kim.entitlements()) == 1
        self.proof(f"order {other['status']}, access kept", holds=holds)

    async def the_provider_hangs(self) -> None:
        nina = await self.comes("Nina")
        fault = {"kind": "timeout_after", "operation": "checkout.create", "seconds": 5}
        await self._town.control("POST", "faults", fault)
        status, order = await nina.order("prc_stalker_buy")
        await self.day("Nina orders while the provider executes calls and never answers")
        self.proof(
            f"{status}, payment {order['payment']['status']}: Boxoffice does not guess the outcome",
            holds=status == 202,
        )
        order = await nina.until(order["id"], checkout_url=...)
        await self._town.pay(order["checkout_url"])
        order = await nina.until(order["id"], status="paid")
        theirs = (await self._town.books())["orders"][order["id"]]
        await self.day("Boxoffice asks the provider for the payment, and Nina gets her link")
        self.proof(
            f"{order['status']}; the provider has {theirs['payments']} payment",
            holds=theirs["payments"] == 1,
        )

    async def the_trial_ends(self, tess: Visitor) -> None:
        await self._town.advance_to(instant((await tess.subscription())["period"]["end"]) + HOUR)
        subscription = await tess.subscription()
        await self.day("Tess's trial ends, and her card is charged for the first time")
        order = (await self.orders(tess))[-1]
        holds = subscription["status"] == "active" and order["amount"]["minor"] == 1299
        self.proof(f"{shown(order['amount'])}; {subscription['status']}", holds=holds)

    async def a_renewal_is_declined(self, dan: Visitor) -> None:
        subscription = await dan.subscription()
        method = await self._town.rows(
            "SELECT provider_ref FROM payment_methods WHERE id = %s", subscription["payment_method_id"]
        )
        path = f"methods/{method[0]['provider_ref']}/next"
        await self._town.control("POST", path, {"codes": ["insufficient_funds", None]})
        await self._town.advance_to(instant(subscription["period"]["end"]) + HOUR)
        subscription, access = await dan.subscription(), await dan.entitlements()
        await self.day("Renewals: Dan's bank declines")
        holds = subscription["status"] == "past_due" and len(access) == 1
        self.proof(f"{subscription['status']}; access kept during grace", holds=holds)
        self.proof("Dan got a mail about it", holds=await self.mailed(dan, FactType.SUBSCRIPTION_PAST_DUE))
        await self._town.advance(timedelta(days=1))
        subscription = await dan.subscription()
        await self.day("The retry of the first day goes through")
        holds = subscription["status"] == "active" and subscription["period"]["n"] == 2
        self.proof(f"{subscription['status']}, period {subscription['period']['n']}", holds=holds)

    async def a_year_passes(self, mona: Visitor) -> None:
        subscription = await mona.subscription()
        for n in range(subscription["period"]["n"] + 1, MONTHS + 2):
            await self._town.advance_to(instant(subscription["period"]["end"]) + HOUR)
            subscription = await mona.subscription()
            paid = [order for order in await self.orders(mona) if order["status"] == "paid"]
            total = cents(sum(order["amount"]["minor"] for order in paid))
            await self.day(
                f"Renewed: period {n} until {subscription['period']['end'][:10]}, {total} so far", apart=False
            )
            if subscription["period"]["n"] != n or len(paid) != n:
                self.proof(f"{len(paid)} payments for {n} periods", holds=False)
        self.proof(f"Mona was charged {MONTHS + 1} times for {MONTHS + 1} months")

    async def they_opt_out(self, *visitors: Visitor) -> None:
        await self.day("Tess, Mona and Dan switch automatic renewal off")
        for visitor in visitors:
            subscription = await visitor.subscription()
            path = f"/v1/subscriptions/{subscription['id']}"
            answer = (await visitor.call("PATCH", path, {"auto_renew": False})).json()
            holds = answer["auto_renew"] is False and len(await visitor.entitlements()) == 1
            end = subscription["period"]["end"][:10]
            self.proof(f"{visitor.name}: {answer['status']}, access until {end}", holds=holds)
        before = [len(await self.orders(visitor)) for visitor in visitors]
        await self._town.advance(AFTER_SWITCH_MAIL)
        mailed = [await self.mailed(visitor, JobType.TELL_AUTO_RENEW) for visitor in visitors]
        self.proof("a minute later each of them has a mail about it", holds=all(mailed))
        await self._town.advance(timedelta(days=32))
        await self.day("Their last periods end")
        for visitor, count in zip(visitors, before, strict=True):
            subscription, access = await visitor.subscription(), await visitor.entitlements()
            holds = subscription["status"] == "canceled" and not access
            charged = len(await self.orders(visitor)) - count
            self.proof(
                f"{visitor.name}: {subscription['status']}, nothing charged", holds=holds and not charged
            )

    async def mailed(self, visitor: Visitor, event: str) -> bool:
        sql = "SELECT 1 FROM notifications WHERE customer_id = %s AND event_type = %s AND status = 'sent'"
        return len(await self._town.rows(sql, visitor.id, event)) == 1

    async def orders(self, visitor: Visitor) -> list[Json]:
        """Oldest first."""
        items: list[Json] = (await visitor.get("/v1/orders?limit=100"))["items"]
        return sorted(items, key=lambda order: str(order["id"]))

    async def entries(self, order: Json) -> list[Any]:
        return await self._town.rows("SELECT 1 FROM ledger_entries WHERE order_id = %s", order["id"])


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def lasts(entitlement: Json) -> timedelta:
    return instant(entitlement["ends_at"]) - instant(entitlement["starts_at"])
