"""A provider that refuses what we built: our bug, told as one, with nothing charged and nothing left open."""

from __future__ import annotations

from typing import cast

from shared_lib.providers.base import CheckoutRequest, InvalidRequest, PaymentProvider, PaymentSnapshot
from tests.kit.cinema import RETURN_URL, Cinema


class Refusing:
    """The real provider, but for one verb that answers as a provider does to a request it cannot read."""

    def __init__(self, real: PaymentProvider) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def create_checkout(self, req: CheckoutRequest) -> PaymentSnapshot:
        raise InvalidRequest(self._real.name, "parameter_invalid", f"description of {req.payment_id}")


async def test_it_is_a_502_the_order_is_canceled_and_the_key_repeats_it(cinema: Cinema) -> None:
    cinema.rt.providers["sandbox"] = cast("PaymentProvider", Refusing(cinema.rt.providers["sandbox"]))
    body = {"price_id": "prc_metropolis_buy", "return_url": RETURN_URL}
    first = await cinema.call("POST", "/v1/orders", body, key="k-1")
    assert (first.status_code, first.json()["code"]) == (502, "provider_refused")
    order = await cinema.get(f"/v1/orders/{first.json()['order_id']}")
    assert (order["status"], order["payment"]["status"]) == ("canceled", "canceled")
    again = await cinema.call("POST", "/v1/orders", body, key="k-1")
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert (await cinema.books())["orders"] == {}
