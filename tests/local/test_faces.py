"""The local stack's bank in the place of Stripe and YooKassa: which process is given what."""

from __future__ import annotations

import dataclasses

import pytest

from infra.local.faces import FACES, bank_arguments, bank_secrets, foreign, given, paid_through
from infra.local.home import Secrets
from shared_lib.processes import OF_PROVIDERS, PROCESSES, variables_of_providers

SANDBOX = "http://127.0.0.1:8102"
SECRETS = Secrets(**{field.name: f"whsec_{field.name}" for field in dataclasses.fields(Secrets)})


@pytest.mark.parametrize("provider", FACES)
@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_given_the_secrets_that_it_may_hold_and_the_address(provider: str, process: str) -> None:
    own = paid_through(provider).used
    settings = given(process, own, SANDBOX, SECRETS)
    secrets = {name for names in OF_PROVIDERS[provider].values() for name in names}
    assert settings.keys() & secrets == secrets & set(variables_of_providers(process))
    assert settings[f"BOXOFFICE_{provider.upper()}_URL"].startswith(SANDBOX)
    assert secrets - settings.keys() <= foreign(process)


def test_a_provider_that_is_not_named_gets_nothing() -> None:
    assert given("webhook", {}, SANDBOX, SECRETS) == {}
    assert given("webhook", paid_through("sandbox").used, SANDBOX, SECRETS) == {}


def test_with_a_key_of_your_own_the_provider_itself_is_asked() -> None:
    own = dict(paid_through("stripe").used) | {"BOXOFFICE_STRIPE_SECRET_KEY": "sk_" + "test_1"}
    assert given("create_order", own, SANDBOX, SECRETS) == {}
    assert "BOXOFFICE_STRIPE_SECRET_KEY" in foreign("relay")
    assert "BOXOFFICE_STRIPE_SECRET_KEY" not in foreign("create_order")


def test_the_bank_signs_with_what_the_webhook_function_verifies() -> None:
    settings = given("webhook", paid_through("stripe").used, SANDBOX, SECRETS)
    assert (
        bank_secrets(SECRETS)["SANDBOX_STRIPE_WEBHOOK_SECRET"] == settings["BOXOFFICE_STRIPE_WEBHOOK_SECRETS"]
    )
    arguments = bank_arguments("http://127.0.0.1:8100")
    for face in FACES:
        assert arguments[arguments.index(face) + 1] == f"http://127.0.0.1:8100/v1/webhooks/{face}"
