"""A frontend on another origin than the gateway, in Chromium: a customer orders, pays, and sees what may be watched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page, async_playwright, expect
from starlette.staticfiles import StaticFiles

from infra.servers.ports import free_port
from tests.kit.cinema import Cinema
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.serving import serving
from tests.kit.waiting import PATIENCE_S

pytestmark = pytest.mark.browser

FRONTEND = Path(__file__).parents[2] / "examples" / "frontend"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
Visit = Callable[[Cinema, str], AbstractAsyncContextManager[Page]]


@pytest.fixture
async def visit(chromium: str) -> AsyncIterator[Visit]:
    """A maker of pages: the frontend of an origin, which calls the cinema."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield partial(visited, browser.new_page)
        await browser.close()


@asynccontextmanager
async def visited(
    new_page: Callable[[], Awaitable[Page]], cinema: Cinema, origin: str
) -> AsyncIterator[Page]:
    page = await new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    port = int(origin.rpartition(":")[2])
    async with serving(StaticFiles(directory=FRONTEND, html=True), port):
        await page.goto(f"{origin}/?{urlencode({'api': cinema.url})}")
        yield page
        await page.close()


def new_origin() -> str:
    return f"http://127.0.0.1:{free_port()}"


async def test_a_customer_orders_pays_and_watches(open_cinema: OpenCinema, visit: Visit) -> None:
    origin = new_origin()
    async with open_cinema(return_url_origins=[origin]) as cinema, visit(cinema, origin) as page:
        await page.get_by_label("Token of the customer").fill(cinema.token())
        await page.get_by_role("button", name="Sign in").click()
        film = page.get_by_role("listitem").filter(has_text="Metropolis (1927)")
        await film.get_by_role("button", name="Buy for €12.99").click()

        await page.wait_for_url(f"{cinema.sandbox.url}/pay/**")
        await page.get_by_label("Card number").fill("4242 4242 4242 4242")
        await page.get_by_label("Expires").fill("12 / 34")
        await page.get_by_label("Security code").fill("123")
        await page.get_by_role("button", name="Pay").click()

        await page.wait_for_url(f"{origin}/**")
        await expect(page.get_by_role("status")).to_have_text("Enjoy Metropolis (1927).")
        watchable = page.get_by_role("region", name="To watch").get_by_role("listitem")
        await expect(watchable).to_have_text(["Metropolis (1927) as often as you like"])
        await expect(page.get_by_role("alert")).to_be_empty()

        await film.get_by_role("button", name="Buy for €12.99").click()
        await expect(page.get_by_role("alert")).not_to_be_empty()  # the problem's own words
        assert cinema.value("SELECT count(*) FROM orders") == 1
        await cinema.assert_balanced()


async def test_a_frontend_of_another_origin_reads_nothing(open_cinema: OpenCinema, visit: Visit) -> None:
    ours, theirs = new_origin(), new_origin()
    async with open_cinema(return_url_origins=[ours]) as cinema, visit(cinema, theirs) as page:
        await expect(page.get_by_role("alert")).to_contain_text(f"cannot be reached from {theirs}")
        assert await page.get_by_role("listitem").count() == 0
