"""What keeps YooKassa from being used: production takes no test shop, and a receipt needs an address."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import ValidationError

from shared_lib.processes import lacking, variables_of_providers
from shared_lib.providers.registry import capabilities_of, make_providers
from shared_lib.settings import Environment, Settings

LIVE: dict[str, Any] = {
    "environment": Environment.PRODUCTION,
    "auth_jwks_url": "https://auth.cinema.example/jwks.json",
    "providers": ("yookassa",),
    "default_provider": "yookassa",
    "yookassa_shop_id": "100500",
    "yookassa_secret_key": "live_secret",
}


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BOXOFFICE_")]:
        monkeypatch.delenv(name)


async def test_with_a_live_key_production_has_a_client_for_the_shops_currency() -> None:
    settings = Settings(**LIVE, yookassa_vat_code=4, yookassa_receipt_email="receipts@cinema.example")
    provider = make_providers(settings)["yookassa"]
    assert provider.capabilities.currencies == {"RUB"} < capabilities_of("yookassa").currencies
    assert "live_secret" not in repr(provider) + repr(settings)
    await provider.aclose()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"yookassa_shop_id": ""}, "needs yookassa_shop_id"),
        ({"yookassa_secret_key": "test_secret"}, "test shop"),
        ({"yookassa_url": "http://127.0.0.1:1/v3"}, "https://"),
        ({"yookassa_vat_code": 4}, "need yookassa_receipt_email"),
        ({"yookassa_vat_code": 13}, "yookassa_vat_code"),
        ({"yookassa_currency": "GBP"}, "yookassa_currency"),
        ({"yookassa_receipt_email": "no address"}, "yookassa_receipt_email"),
        ({"yookassa_webhook_networks": "185.71.76.1/27"}, "not a list of networks"),
        ({"trusted_proxies": "10.0.0.0/8, gateway"}, "not a list of networks"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_names_itself(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**LIVE | wrong)
    assert says in str(refused.value)
    assert "test_secret" not in str(refused.value)


def test_outside_production_a_test_shop_is_taken() -> None:
    Settings(**LIVE | {"environment": Environment.TEST, "yookassa_secret_key": "test_secret"})


def test_its_key_is_needed_where_it_is_in_use_and_only_there() -> None:
    there = {"BOXOFFICE_DATABASE_URL": "x", "BOXOFFICE_CARD_PEPPER": "x"}
    assert lacking("renew", there, ("yookassa",)) == ["BOXOFFICE_YOOKASSA_SECRET_KEY"]
    assert lacking("renew", there, ("another",)) == []
    assert lacking("notify", there, ("yookassa",)) == []
    assert "BOXOFFICE_YOOKASSA_SECRET_KEY" in variables_of_providers("webhook")
    assert "BOXOFFICE_YOOKASSA_SECRET_KEY" not in variables_of_providers("relay")
