"""The hosted checkout page, as a browser without scripts sees it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from infra.demo.town import own_card
from infra.sandbox.engine import cards
from infra.sandbox.engine.cards import CARDS, luhn_valid, markdown
from shared_lib.providers.base import DeclineKind, Money, PaymentRef, RefundState
from tests.providers.simulator import SandboxSimulator, charge_of, checkout_of, paid, refund_of, saved_method


async def opened(simulator: SandboxSimulator, **changed: Any) -> str:
    payment = await simulator.provider.create_checkout(checkout_of(**changed))
    assert payment.checkout_url
    return payment.checkout_url


def test_every_test_card_has_a_valid_number_and_a_line_in_the_docs() -> None:
    assert all(luhn_valid(card.number) for card in CARDS)
    assert len({card.number for card in CARDS}) == len({card.slug for card in CARDS}) == len(CARDS)
    assert markdown() in (Path(cards.__file__).parents[1] / "README.md").read_text()


async def test_a_number_of_the_range_is_a_card_of_its_own(sandbox_simulator: SandboxSimulator) -> None:
    fingerprints = set()
    for number in (own_card(), own_card(), "4242424242424242"):
        assert luhn_valid(number)
        url = await opened(sandbox_simulator, save_method=True)
        form = {"number": number, "expires": "12 / 34", "cvc": "123"}
        assert (await sandbox_simulator.http.post(url, data=form)).status_code == 303
        shown = (await sandbox_simulator.provider.fetch_payment(ref_of(url))).saved_method
        assert shown is not None
        assert shown.last4 == number[-4:]
        fingerprints.add(shown.fingerprint)
    assert len(fingerprints) == 3
    real = {"number": "4111111111111111", "expires": "12 / 34", "cvc": "123"}
    assert (await sandbox_simulator.http.post(await opened(sandbox_simulator), data=real)).status_code == 422


def ref_of(url: str) -> PaymentRef:
    return PaymentRef(provider="sandbox", provider_payment_id=url.rpartition("/")[2])


async def test_the_page_shows_cinema_title_amount_and_cards_and_loads_nothing_from_elsewhere(
    sandbox_simulator: SandboxSimulator,
) -> None:
    page = await sandbox_simulator.http.get(await opened(sandbox_simulator, description="<Alien> & Sons"))
    assert page.status_code == 200
    assert "Boxoffice Cinema" in page.text
    assert "&lt;Alien&gt; &amp; Sons" in page.text
    assert "€12.99" in page.text
    assert all(card.spaced in page.text for card in CARDS)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await sandbox_simulator.http.get("/pay/style.css")).headers["content-type"].startswith("text/css")


async def test_a_click_on_a_test_card_fills_the_form(sandbox_simulator: SandboxSimulator) -> None:
    page = await sandbox_simulator.http.get(await opened(sandbox_simulator) + "?card=challenge")
    assert 'value="4000 0027 6000 3184"' in page.text


async def test_paying_returns_to_the_merchant_with_order_and_status(
    sandbox_simulator: SandboxSimulator,
) -> None:
    request = checkout_of(return_url="https://cinema.example/orders?from=pay&x=%C3%A4#top")
    payment = await sandbox_simulator.provider.create_checkout(request)
    answer = await sandbox_simulator.pay(payment.checkout_url or "")
    assert answer.status_code == 303
    target = urlsplit(answer.headers["location"])
    assert parse_qs(target.query) == {
        "from": ["pay"],
        "x": ["ä"],
        "order_id": [request.order_id],
        "status": ["succeeded"],
    }
    assert (target.netloc, target.fragment) == ("cinema.example", "top")
    again = await sandbox_simulator.pay(payment.checkout_url or "")
    assert again.status_code == 200, "a second submit pays nothing and says so"
    assert "Paid. Thank you!" in again.text
    assert (await sandbox_simulator.provider.fetch_payment(payment.ref)).captured == request.amount


@pytest.mark.parametrize(("card", "says"), [("soft_decline", "declined"), ("hard_decline", "another card")])
async def test_a_declined_card_is_explained_and_another_one_may_be_tried(
    sandbox_simulator: SandboxSimulator, card: str, says: str
) -> None:
    url = await opened(sandbox_simulator)
    declined = await sandbox_simulator.pay(url, card)
    assert declined.status_code == 402
    assert says in declined.text
    assert "stolen" not in declined.text.split("<details")[0]
    assert (await sandbox_simulator.pay(url)).status_code == 303


async def test_insufficient_funds_once_then_success(sandbox_simulator: SandboxSimulator) -> None:
    url = await opened(sandbox_simulator)
    assert (await sandbox_simulator.pay(url, "funds_then_success")).status_code == 402
    assert (await sandbox_simulator.pay(url, "funds_then_success")).status_code == 303


async def challenge(simulator: SandboxSimulator, decision: str) -> tuple[str, httpx.Response]:
    url = await opened(simulator)
    step = (await simulator.pay(url, "challenge")).headers["location"]
    assert step == url + "/challenge"
    assert "Is this you?" in (await simulator.http.get(step)).text
    return url, await simulator.http.post(step, data={"decision": decision})


async def test_a_confirmed_3d_secure_step_pays(sandbox_simulator: SandboxSimulator) -> None:
    _, answer = await challenge(sandbox_simulator, "confirm")
    assert "status=succeeded" in answer.headers["location"]


async def test_a_refused_3d_secure_step_leads_back_to_the_form(sandbox_simulator: SandboxSimulator) -> None:
    url, answer = await challenge(sandbox_simulator, "refuse")
    assert answer.headers["location"] == url
    assert "was not confirmed" in (await sandbox_simulator.http.get(url)).text
    assert (await sandbox_simulator.pay(url)).status_code == 303


async def test_a_slow_card_lets_the_customer_wait_and_then_pays(sandbox_simulator: SandboxSimulator) -> None:
    url = await opened(sandbox_simulator)
    await sandbox_simulator.pay(url, "slow")
    assert "thinking" in (await sandbox_simulator.http.get(url)).text
    assert "thinking" in (await sandbox_simulator.pay(url)).text, "a second card cannot overtake"
    await sandbox_simulator.advance(timedelta(minutes=1))
    waited = await sandbox_simulator.http.get(url + "?waited=yes")
    assert waited.headers["location"].endswith("status=succeeded")
    assert "Paid" in (await sandbox_simulator.http.get(url)).text


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("number", "4242 4242 4242 4241", "Check the card number"),
        ("number", "", "Check the card number"),
        ("number", "4111 1111 1111 1111", "takes only the test cards"),
        ("expires", "13 / 34", "MM / YY"),
        ("expires", "01 / 20", "has expired"),
        ("cvc", "12a", "3 or 4 digits"),
    ],
)
async def test_a_wrong_field_is_pointed_at(
    sandbox_simulator: SandboxSimulator, field: str, value: str, complaint: str
) -> None:
    form = {"number": CARDS[0].number, "expires": "12/34", "cvc": "123"} | {field: value}
    page = await sandbox_simulator.http.post(await opened(sandbox_simulator), data=form)
    assert page.status_code == 422
    assert complaint in page.text
    assert f'aria-describedby="{field}-error"' in page.text


@pytest.mark.parametrize("typed", ["12 / 34", "1234", "12/34", "12 34", "12/2034", "12 / 2034"])
async def test_the_month_is_read_as_people_type_it(sandbox_simulator: SandboxSimulator, typed: str) -> None:
    url = await opened(sandbox_simulator)
    form = {"number": CARDS[0].number, "expires": typed, "cvc": "123"}
    assert (await sandbox_simulator.http.post(url, data=form)).status_code == 303


async def test_expired_canceled_and_unknown_links_say_so(sandbox_simulator: SandboxSimulator) -> None:
    request = checkout_of(expires_in=timedelta(minutes=1))
    short = (await sandbox_simulator.provider.create_checkout(request)).checkout_url or ""
    canceled = await sandbox_simulator.provider.create_checkout(checkout_of())
    await sandbox_simulator.provider.cancel_checkout(canceled.ref, "cancel")
    await sandbox_simulator.advance(timedelta(minutes=2))
    for url, status, says in (
        (short, 410, "expired"),
        (canceled.checkout_url or "", 410, "canceled"),
        (short + "x", 404, "No such payment"),
    ):
        page = await sandbox_simulator.http.get(url)
        assert (page.status_code, says in page.text) == (status, True)
        assert (await sandbox_simulator.pay(url)).status_code == status


async def test_a_trial_page_says_that_nothing_is_taken(sandbox_simulator: SandboxSimulator) -> None:
    page = await sandbox_simulator.http.get(
        await opened(sandbox_simulator, amount=Money(0, "EUR"), save_method=True)
    )
    assert "Nothing is taken today" in page.text
    assert "Verify card" in page.text


@pytest.mark.parametrize(
    ("card", "kinds"),
    [
        ("later_soft", [DeclineKind.SOFT, DeclineKind.SOFT]),
        ("later_hard", [DeclineKind.HARD, DeclineKind.HARD]),
        ("later_challenge", [DeclineKind.ACTION_REQUIRED, DeclineKind.ACTION_REQUIRED]),
        ("later_funds_once", [DeclineKind.SOFT, None, None]),
        ("success", [None, None]),
    ],
)
async def test_a_card_scripts_its_later_charges(
    sandbox_simulator: SandboxSimulator, card: str, kinds: list[DeclineKind | None]
) -> None:
    method = await saved_method(sandbox_simulator, card)
    said = [await sandbox_simulator.provider.charge(charge_of(method)) for _ in kinds]
    assert [it.decline.kind if it.decline else None for it in said] == kinds


async def test_a_refund_bounces_for_the_card_that_scripts_it(sandbox_simulator: SandboxSimulator) -> None:
    payment = await paid(sandbox_simulator, "refund_fails_later")
    refund = await sandbox_simulator.provider.refund(refund_of(payment))
    assert refund.state is RefundState.SUCCEEDED
    await sandbox_simulator.advance(timedelta(minutes=1))
    bounced = await sandbox_simulator.provider.fetch_refund(refund.provider_refund_id, payment.ref)
    assert bounced.state is RefundState.FAILED
