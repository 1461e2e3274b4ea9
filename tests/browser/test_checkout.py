"""A customer in a real browser: Chromium on the provider's page, and Boxoffice behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.kit.cinema import RETURN_URL, Cinema

pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture
async def page(chromium: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = await browser.new_page()
        # The cinema's own page, where the provider leads back to.
        await page.route(
            "http://cinema.test/**",
            lambda route: route.fulfill(body="<h1>Thank you</h1>", content_type="text/html"),
        )
        yield page
        await browser.close()


async def fill(page: Page, number: str) -> None:
    await page.get_by_label("Card number").fill(number)
    await page.get_by_label("Expires").fill("12 / 34")
    await page.get_by_label("Security code").fill("123")
    await page.get_by_role("button", name="Pay").click()


async def test_a_declined_card_is_explained_and_another_one_pays(cinema: Cinema, page: Page) -> None:
    order = await cinema.order("prc_metropolis_buy")
    await page.goto(order["checkout_url"])
    await expect(page.get_by_text("Metropolis (1927)").first).to_be_visible()
    await expect(page.get_by_role("button", name="Pay €12.99")).to_be_visible()
    await fill(page, "4000 0000 0000 0002")
    await expect(page.get_by_role("alert")).to_contain_text("declined")
    assert (await cinema.get(f"/v1/orders/{order['id']}"))["status"] == "pending"
    await fill(page, "4242 4242 4242 4242")
    await page.wait_for_url(f"{RETURN_URL}**")
    await expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")
    await cinema.assert_balanced()


async def test_the_bank_asks_the_customer_to_confirm(cinema: Cinema, page: Page) -> None:
    order = await cinema.order("prc_metropolis_rent")
    await page.goto(order["checkout_url"])
    await fill(page, "4000 0027 6000 3184")
    await page.get_by_role("button", name="Confirm").click()
    await page.wait_for_url(f"{RETURN_URL}**")
    await cinema.until(f"/v1/orders/{order['id']}", status="paid")


async def test_going_back_leaves_the_order_open(cinema: Cinema, page: Page) -> None:
    order = await cinema.order("prc_metropolis_rent")
    await page.goto(order["checkout_url"])
    await page.get_by_role("link", name="Cancel and return").click()
    await page.wait_for_url(f"{RETURN_URL}**")
    found = await cinema.get(f"/v1/orders/{order['id']}")
    assert (found["status"], found["checkout_url"]) == ("pending", order["checkout_url"])
