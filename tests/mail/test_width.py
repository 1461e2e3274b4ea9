"""Mails fit the screens they are read on, whatever the names, numbers and addresses in them."""

from __future__ import annotations

from typing import Any, Final

import pytest
from playwright.async_api import async_playwright

from shared_lib.mail.render import Brand, render
from tests.mail.events import EXAMPLES

pytestmark = pytest.mark.browser

FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TELEPHONE, DESKTOP = 360, 900
BRAND: Final = Brand(
    name="Vereinigte Lichtspielhäuser am Großen Theaterplatz & Söhne",
    account_url="https://kino.example/account",
    support_email="kundendienst.und.rechnungswesen@vereinigte-lichtspielhaeuser.example",
)
LONG: Final[dict[str, Any]] = {
    "product_title": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "amount": {"minor": 123_456_789_000, "currency": "HUF"},
    "order_id": "ord_01JDABCDEFGHJKMNPQRSTVWXYZ0",
    "payment_id": "pay_01JDABCDEFGHJKMNPQRSTVWXYZ0",
    "subscription_id": "sub_01JDABCDEFGHJKMNPQRSTVWXYZ0",
}


@pytest.mark.parametrize("locale", ["en", "ru"])
async def test_no_mail_is_wider_than_its_screen(chromium: str, locale: str) -> None:
    too_wide = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for width in (TELEPHONE, DESKTOP):
            page = await browser.new_page(viewport={"width": width, "height": 800})
            for name, (event_type, data) in EXAMPLES.items():
                long = {key: value for key, value in LONG.items() if key in data}
                mail = render(event_type, data | long, locale, brand=BRAND)
                assert mail is not None
                await page.set_content(mail.html)
                if await page.evaluate("document.documentElement.scrollWidth") > width:
                    too_wide.append((name, width))
        await browser.close()
    assert too_wide == []
