"""Stripe in the settings: who may use which key, which processes hold it, and what a wrong one says."""

from __future__ import annotations

import pytest

from shared_lib.processes import PROCESSES, Secret, lacking
from shared_lib.providers.registry import capabilities_of, make_providers
from shared_lib.providers.stripe.capabilities import CAPABILITIES
from shared_lib.settings import Environment, Settings, WrongSettingsError, read_settings

LIVE, TEST = "sk_" + "live_0123456789", "sk_" + "test_0123456789"
SECRET = "whsec_0123456789abcdef"  # of no endpoint


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {
        "PROVIDERS": "stripe",
        "DEFAULT_PROVIDER": "stripe",
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "AUTH_JWKS_URL": "https://auth.cinema.example/jwks.json",
        "DATABASE_URL": "postgresql://boxoffice@127.0.0.1/boxoffice",
    }.items():
        monkeypatch.setenv(f"BOXOFFICE_{name}", value)
    return monkeypatch


@pytest.mark.parametrize(
    ("where", "changed", "wrong"),
    [
        ("production", {"SECRET_KEY": LIVE}, None),
        ("production", {"SECRET_KEY": LIVE.replace("sk_", "rk_")}, None),
        ("production", {"SECRET_KEY": ""}, None),  # a process that does not ask the provider
        ("production", {"SECRET_KEY": TEST}, "not a live one"),
        ("production", {"SECRET_KEY": "sk_sandbox_0123456789"}, "not a live one"),
        ("production", {"SECRET_KEY": LIVE, "URL": "http://127.0.0.1:1"}, "https"),
        ("production", {"SECRET_KEY": LIVE, "WEBHOOK_SECRETS": f"{SECRET},0123456789"}, "whsec_"),
        ("test", {"SECRET_KEY": TEST}, None),
        ("test", {"SECRET_KEY": "sk_sandbox_0123456789"}, None),
        ("test", {"SECRET_KEY": LIVE}, "production alone"),
    ],
)
def test_a_key_is_used_where_it_belongs(
    environment: pytest.MonkeyPatch, where: str, changed: dict[str, str], wrong: str | None
) -> None:
    environment.setenv("BOXOFFICE_ENVIRONMENT", where)
    for name, value in changed.items():
        environment.setenv(f"BOXOFFICE_STRIPE_{name}", value)
    if wrong is None:
        assert "0123456789" not in repr(read_settings())
        return
    with pytest.raises(WrongSettingsError, match=wrong) as refused:
        read_settings()
    assert "0123456789" not in str(refused.value)


async def test_the_registry_makes_it_and_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BOXOFFICE_STRIPE_SECRET_KEY", TEST)
    provider = make_providers(Settings(environment=Environment.TEST))["stripe"]
    assert provider.name == "stripe"
    assert provider.capabilities is capabilities_of("stripe") is CAPABILITIES
    assert "0123456789" not in repr(provider)
    await provider.aclose()


def test_a_process_that_asks_needs_the_key_and_the_webhook_door_the_secret() -> None:
    for name, needs in PROCESSES.items():
        missing = lacking(name, {"BOXOFFICE_DATABASE_URL": "x"}, ("stripe",))
        assert ("BOXOFFICE_STRIPE_SECRET_KEY" in missing) is (Secret.PROVIDER_KEY in needs.secrets)
        assert ("BOXOFFICE_STRIPE_WEBHOOK_SECRETS" in missing) is (name == "webhook")
