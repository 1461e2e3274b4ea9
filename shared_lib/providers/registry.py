"""Makes the provider clients that the settings name. A new provider is a file or folder beside this module, and a case here.

A provider of another package is named "module:Class", and its `name` must be the same text. Only the clients that are named
are imported.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import pkgutil
from importlib import import_module

from shared_lib.http_client.transport import AiohttpTransport
from shared_lib.providers.base import Capabilities, PaymentProvider
from shared_lib.providers.cards import DEFAULT_PEPPER, HashedCards
from shared_lib.settings import Settings


def make_providers(settings: Settings) -> dict[str, PaymentProvider]:
    """The clients by name, in the order of the settings. Nothing is connected yet."""
    pepper = settings.card_pepper.get_secret_value().encode() or DEFAULT_PEPPER
    return {name: HashedCards(_make(name, settings), pepper) for name in settings.providers}


def _make(name: str, settings: Settings) -> PaymentProvider:
    match name:
        case "sandbox":
            from shared_lib.providers.sandbox import SandboxProvider

            return SandboxProvider(
                base_url=settings.sandbox_url,
                api_key=settings.sandbox_api_key.get_secret_value(),
                webhook_secrets=[secret.get_secret_value() for secret in settings.sandbox_webhook_secrets],
                http=AiohttpTransport(),
            )
        case "stripe":
            from shared_lib.providers.stripe.adapter import StripeProvider

            return StripeProvider(
                base_url=settings.stripe_url,
                secret_key=settings.stripe_secret_key.get_secret_value(),
                webhook_secrets=[secret.get_secret_value() for secret in settings.stripe_webhook_secrets],
                http=AiohttpTransport(),
            )
        case "yookassa":
            from shared_lib.providers.yookassa.made import made

            return made(settings)
        case _ if ":" in name:
            provider: PaymentProvider = pkgutil.resolve_name(name)()
            return provider
        case _:
            raise ValueError(f"unknown provider {name!r}")


def capabilities_of(name: str) -> Capabilities:
    """What the provider of that name can do, without its settings. Raises ValueError for an unknown one."""
    if name == "sandbox":
        from shared_lib.providers.sandbox import CAPABILITIES

        return CAPABILITIES
    if name == "stripe":
        from shared_lib.providers.stripe import capabilities

        return capabilities.CAPABILITIES
    if name == "yookassa":
        from shared_lib.providers.yookassa import wire

        return wire.CAPABILITIES
    if ":" not in name:
        raise ValueError(f"unknown provider {name!r}")
    found: Capabilities = pkgutil.resolve_name(name).capabilities
    return found


def load_connections(settings: Settings) -> None:
    """Import what our clients send with. It takes 0.1 s and 8 MiB, which the first question would wait for otherwise."""
    if any(":" not in name for name in settings.providers):
        import_module("shared_lib.http_client.session")
