"""What a provider tells of saved cards: only a deletion takes one away, an update changes what is shown of it."""

from __future__ import annotations

from typing import Any

from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, renewed
from tests.kit.waiting import until


def shown(cinema: Cinema, columns: str = "usable, expires") -> Any:
    return cinema.rows(f"SELECT {columns} FROM payment_methods")[0]


async def test_a_card_that_its_bank_renewed_is_charged_on(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    ref = shown(cinema, "provider_ref")[0]
    assert (await cinema.control(f"/control/methods/{ref}/update", {"expires": "2041-07"})).is_success
    await until(lambda: shown(cinema) == (True, "2041-07"))
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    assert method["expires"] == "2041-07"
    assert (await renewed(cinema))["period"]["n"] == 2


async def test_a_deletion_takes_it_away_and_late_news_do_not_bring_it_back(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    ref = shown(cinema, "provider_ref")[0]
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    await cinema.http.delete(f"{cinema.sandbox.url}/v1/methods/{ref}", headers=headers)
    await until(lambda: not shown(cinema)[0])
    before = shown(cinema)
    await cinema.control(f"/control/methods/{ref}/update", {"expires": "2041-07"})
    await until(lambda: cinema.value("SELECT count(*) FROM inbox WHERE status = 'done'") >= 3)
    assert shown(cinema) == before
    assert (await cinema.get("/v1/payment-methods"))["items"] == []
