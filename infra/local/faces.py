"""The simulated bank of the local stack, also in the place of Stripe and YooKassa: it speaks their wire formats.

`BOXOFFICE_PROVIDERS=sandbox,stripe` and `BOXOFFICE_DEFAULT_PROVIDER=stripe` are all that is needed. With a key of your own
(BOXOFFICE_STRIPE_SECRET_KEY) the provider itself is asked, and your own webhook secrets and address are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from infra.local.home import Secrets
from infra.local.own_settings import OwnSettings
from infra.sandbox.faces.yookassa.ids import SECRET_KEY_PREFIX, SHOP_ID
from shared_lib.processes import OF_PROVIDERS, variables_of_providers

SANDBOX: Final = "sandbox"
FACES: Final = ("stripe", "yookassa")


def paid_through(provider: str) -> OwnSettings:
    """The settings of a stack whose customers pay through that provider."""
    names = SANDBOX if provider == SANDBOX else f"{SANDBOX},{provider}"
    return OwnSettings(used={"BOXOFFICE_PROVIDERS": names, "BOXOFFICE_DEFAULT_PROVIDER": provider})


def bank_arguments(gateway: str) -> list[str]:
    """Where the bank sends the webhooks of each face."""
    webhooks = f"{gateway}/v1/webhooks/"
    arguments = ["--webhook-url", webhooks + "sandbox"]
    for face in FACES:
        arguments += ["--face-webhook", face, webhooks + face]
    return arguments


def bank_secrets(secrets: Secrets) -> dict[str, str]:
    """What the bank is called with, and what it signs with."""
    return {
        "SANDBOX_API_KEY": secrets.sandbox_api_key,
        "SANDBOX_WEBHOOK_SECRET": secrets.sandbox_webhook_secret,
        "SANDBOX_STRIPE_WEBHOOK_SECRET": secrets.sandbox_webhook_secret,
    }


def given(process: str, own: Mapping[str, str], sandbox: str, secrets: Secrets) -> dict[str, str]:
    """The settings of one process for the providers that `own` names, without the secrets that are not its own."""
    named = own.get("BOXOFFICE_PROVIDERS", "").split(",")
    settings: dict[str, str] = {}
    for provider in (word.strip() for word in named):
        variables = _variables(provider, sandbox, secrets)
        if not any(name in own for name in _secrets_of(provider)):
            settings |= variables
    held = variables_of_providers(process)
    return {
        name: value
        for name, value in settings.items()
        if name in held or not any(name in _secrets_of(it) for it in OF_PROVIDERS)
    }


def foreign(process: str) -> set[str]:
    """The secrets of providers that the process must not hold."""
    return {name for it in OF_PROVIDERS for name in _secrets_of(it)} - set(variables_of_providers(process))


def _secrets_of(provider: str) -> list[str]:
    return [name for names in OF_PROVIDERS.get(provider, {}).values() for name in names]


def _variables(provider: str, sandbox: str, secrets: Secrets) -> dict[str, str]:
    match provider:
        case "stripe":
            return {
                "BOXOFFICE_STRIPE_URL": f"{sandbox}/stripe",
                "BOXOFFICE_STRIPE_SECRET_KEY": secrets.sandbox_api_key,
                "BOXOFFICE_STRIPE_WEBHOOK_SECRETS": secrets.sandbox_webhook_secret,
            }
        case "yookassa":
            return {
                "BOXOFFICE_YOOKASSA_URL": f"{sandbox}/v3",
                "BOXOFFICE_YOOKASSA_SHOP_ID": SHOP_ID,
                "BOXOFFICE_YOOKASSA_SECRET_KEY": SECRET_KEY_PREFIX + secrets.sandbox_api_key,
                "BOXOFFICE_YOOKASSA_CURRENCY": "EUR",  # as the catalog of the local stack
                "BOXOFFICE_YOOKASSA_WEBHOOK_NETWORKS": "127.0.0.0/8",
            }
        case _:
            return {}
