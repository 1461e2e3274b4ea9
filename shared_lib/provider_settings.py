"""Settings of the providers of real money, each in a class of its own. `Settings` (settings.py) inherits them.

A setting of provider NAME begins with its name, in the environment too: BOXOFFICE_YOOKASSA_SHOP_ID.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared_lib.addresses import Network, mail_address, networks, web_address


def words(value: object) -> object:
    """The words of a comma list."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(words)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(networks)]


class FromEnvironment(BaseSettings):
    """What all classes of settings read alike."""

    # An empty variable counts as not set: compose files and secret stores write it that way. A wrong value may be a
    # secret, so no error repeats it.
    model_config = SettingsConfigDict(
        env_prefix="BOXOFFICE_", extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )


class StripeSettings(FromEnvironment):
    """An account at Stripe. docs/providers.md says where each value is found."""

    stripe_secret_key: SecretStr = SecretStr("")
    stripe_webhook_secrets: Secrets = ()  # two while one is rolled
    stripe_url: Annotated[str, AfterValidator(web_address)] = "https://api.stripe.com"

    def stripe_lacks(self, *, production: bool) -> str | None:
        """What keeps Stripe from being used with these settings. A process without its key holds none of its secrets."""
        key = self.stripe_secret_key.get_secret_value()
        live = key.startswith(("sk_live_", "rk_live_"))
        if key and production and not live:
            return "stripe_secret_key is not a live one: it cannot be used in production"
        if live and not production:
            return "stripe_secret_key is a live one: it can be used in production alone"
        if production and not self.stripe_url.startswith("https://"):
            return "in production stripe_url begins with https://"
        if not all(it.get_secret_value().startswith("whsec_") for it in self.stripe_webhook_secrets):
            return "each of stripe_webhook_secrets begins with whsec_"
        return None


class YooKassaSettings(FromEnvironment):
    """A shop at YooKassa. docs/providers.md says where each value is found."""

    yookassa_shop_id: str = ""
    yookassa_secret_key: SecretStr = SecretStr("")
    yookassa_currency: Literal[
        "RUB", "EUR", "USD", "KZT", "BYN", "UAH", "UZS", "TRY", "INR", "MDL", "AZN", "AMD"
    ] = "RUB"  # fmt: skip
    yookassa_url: Annotated[str, AfterValidator(web_address)] = "https://api.yookassa.ru/v3"
    # Where its webhooks come from. Empty: the networks of its documentation.
    yookassa_webhook_networks: Networks = ()
    # Receipts of 54-FZ go with payments and refunds when there is a rate of VAT: YooKassa's code, 1 to 12.
    yookassa_vat_code: int | None = Field(default=None, ge=1, le=12)
    # Where the receipt of a customer without an address goes.
    yookassa_receipt_email: Annotated[str, AfterValidator(lambda value: value and mail_address(value))] = ""
    yookassa_tax_system_code: int | None = Field(default=None, ge=1, le=6)
    yookassa_payment_subject: str = Field(default="service", pattern="^[a-z_]{1,40}$")
    yookassa_payment_mode: Literal[
        "full_prepayment", "partial_prepayment", "advance", "full_payment", "partial_payment", "credit",
        "credit_payment",
    ] = "full_payment"  # fmt: skip

    def yookassa_lacks(self, *, production: bool) -> str | None:
        """What keeps YooKassa from being used with these settings."""
        if not self.yookassa_shop_id:
            return "YooKassa needs yookassa_shop_id"
        if self.yookassa_vat_code is not None and not self.yookassa_receipt_email:
            return "receipts (yookassa_vat_code) need yookassa_receipt_email"
        if production and self.yookassa_secret_key.get_secret_value().startswith("test_"):
            return "yookassa_secret_key is that of a test shop: it cannot be used in production"
        if production and not self.yookassa_url.startswith("https://"):
            return "in production yookassa_url begins with https://"
        return None
