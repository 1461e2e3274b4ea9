"""Each link of each mail leads to a page or to the cinema's own addresses, as the settings name them."""

from __future__ import annotations

from datetime import timedelta

import httpx

from infra.servers.moto import EmbeddedMoto
from infra.servers.ports import free_port
from infra.standins.gateway import build
from shared_lib.billing.jobs import MAILED_AFTER
from tests.kit.cinema import Cinema
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.mails import Mail
from tests.kit.serving import serving
from tests.kit.steps import BASIC, FILM, LATER_SOFT, opt_out, payments, renewed, subscription
from tests.kit.waiting import until

NAME, SUPPORT = "Kino <Süd> & Co", "hilfe@kino.test"


async def passes(cinema: Cinema, time: timedelta) -> None:
    await cinema.advance(time)
    await cinema.tick()
    await cinema.tick()  # the second one opens what the first one saw end


async def walk(cinema: Cinema, moto: EmbeddedMoto, seen: dict[str, set[str]]) -> None:
    """Follow each link of the mails that came since, while it is new. Notes where each kind of mail leads."""
    for sent in moto.sent():
        if sent.message_id in seen:
            continue
        mail = Mail(sent.message)
        assert mail.text.startswith(NAME)
        assert "Kino &lt;Süd&gt; &amp; Co" in mail.html
        assert mail.reply_to == SUPPORT
        assert f"mailto:{SUPPORT}" in mail.links
        for link in mail.links - {f"mailto:{SUPPORT}"}:
            page = await cinema.http.get(link)
            assert page.status_code == 200, f"{sent.message['Subject']}: {link}"
            assert page.headers["content-type"].startswith("text/html")
        seen[sent.message_id] = mail.links


async def test_every_link_of_every_mail_leads_to_a_page(
    open_cinema: OpenCinema, moto: EmbeddedMoto, gateway_port: int
) -> None:
    seen: dict[str, set[str]] = {}
    port = next(port for port in iter(free_port, None) if port != gateway_port)
    gateway = f"http://127.0.0.1:{port}"
    given = {
        "public_url": gateway,
        "cinema_account_url": f"{gateway}/account",
        "cinema_support_email": SUPPORT,
    }
    async with (
        open_cinema(cinema_name=NAME, **given) as cinema,
        serving(build({}), port, lifespan="on"),
    ):
        film = await cinema.bought(FILM)
        await cinema.call("POST", "/v1/refunds", {"order_id": film["id"], "reason": "wish"})
        await cinema.bought(BASIC, number=LATER_SOFT)
        await renewed(cinema)
        await walk(cinema, moto, seen)
        for _ in range(8):  # attempts, the suspension, the page to pay
            await passes(cinema, timedelta(days=1))
            await walk(cinema, moto, seen)
        paid = await cinema.pay((await subscription(cinema))["checkout_url"])
        await _comes_back(cinema, paid, gateway)
        await until(lambda: payments(cinema)[-1] == "succeeded")
        await opt_out(cinema)
        await passes(cinema, MAILED_AFTER + timedelta(seconds=10))
        await walk(cinema, moto, seen)
        await passes(cinema, timedelta(days=40))
        await walk(cinema, moto, seen)
    kinds = {
        row[0] for row in cinema.rows("SELECT DISTINCT event_type FROM notifications WHERE status = 'sent'")
    }
    assert kinds >= {
        "billing.job.tell_auto_renew", "billing.order.paid", "billing.refund.succeeded", "billing.payment.action_required",
        "billing.subscription.past_due", "billing.subscription.suspended", "billing.subscription.canceled",
    }  # fmt: skip
    assert {link for links in seen.values() for link in links} > {f"{gateway}/account", f"mailto:{SUPPORT}"}


async def _comes_back(cinema: Cinema, paid: httpx.Response, gateway: str) -> None:
    """The provider's page sends who has paid back to a page."""
    back = paid.headers["location"]
    assert back.startswith(gateway)
    page = await cinema.http.get(back)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
