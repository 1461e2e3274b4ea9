"""Settings of every process, from the environment (BOXOFFICE_*). .env.example describes each."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import NoDecode, SettingsError

from shared_lib.addresses import (
    database_address,
    is_placeholder,
    mail_address,
    plain_name,
    redis_address,
    sender_address,
    split_origin,
    web_address,
    web_origin,
)
from shared_lib.mounted import UnreadableSecretError, hold_mounted_secrets
from shared_lib.processes import PROCESSES, Secret, lacking
from shared_lib.provider_settings import (
    FromEnvironment,
    Networks,
    Secrets,
    StripeSettings,
    YooKassaSettings,
    words,
)


class Environment(StrEnum):
    LOCAL = "local"
    TEST = "test"
    PRODUCTION = "production"


class WrongSettingsError(ValueError):
    """Names the wrong settings and the reason. Contains no value, which may be a secret."""


def _database_address(value: str) -> str:
    return database_address(value) if value else value


_SECRET_CHARS_MIN = 32

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)]
WebAddress = Annotated[str, AfterValidator(web_address)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(web_origin)], ...], NoDecode, BeforeValidator(words)]


class KafkaAccess(FromEnvironment):
    """Security of the connections to Kafka. The brokers' addresses are in `Settings.kafka_bootstrap`."""

    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: str | None = (
        None  # of the authority that signed the brokers' certificates; None: the system's
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _says_who_we_are(self) -> Self:
        if self.kafka_security.startswith("SASL") and not (
            self.kafka_username and self.kafka_password.get_secret_value()
        ):
            raise ValueError(f"kafka_security {self.kafka_security} needs kafka_username and kafka_password")
        return self


class Settings(KafkaAccess, StripeSettings, YooKassaSettings):
    """All settings. Wrong or missing ones stop a process at its start, instead of failing a customer's request."""

    environment: Environment = Environment.PRODUCTION  # strict unless set otherwise
    # With the role of this process (processes.py). Empty for a process without a database.
    database_url: Annotated[str, AfterValidator(_database_address), Field(repr=False)] = ""
    redis_url: Annotated[str | None, AfterValidator(redis_address), Field(repr=False)] = None
    # Seal the replies cached in Redis; the newest first. Empty: replies are repeated from PostgreSQL.
    reply_secrets: Secrets = ()
    # Directory in which a platform mounts secrets, one file for each variable (mounted.py). Empty: none.
    secrets_dir: str = ""
    writers: int = Field(default=4, ge=1, le=32)
    readers: int = Field(default=4, ge=1, le=64)

    # How long a door keeps answering after SIGTERM, not ready and closing each connection, before its server stops.
    drain_s: float = Field(default=1.0, ge=0, le=60)

    auth_jwks_url: WebAddress = ""
    auth_issuer: str = ""
    auth_audience: str = "boxoffice"
    auth_token_types: Words = ("at+jwt",)  # `typ` of the Auth service's access tokens (RFC 9068)
    auth_keys_trusted_s: float = Field(
        default=86_400.0, ge=600
    )  # how long its keys are used while it is unreachable

    providers: Words = ("sandbox",)
    # Those of `providers` that take no new orders. Renewals, refunds, webhooks and reconciliation continue.
    providers_closed: Words = ()
    default_provider: str = "sandbox"
    provider_answer_s: float = Field(default=3.0, gt=0, le=30)  # how long a customer waits for a link
    open_orders_max: int = Field(default=10, ge=1)  # unpaid orders of one customer
    sandbox_url: WebAddress = ""
    sandbox_api_key: SecretStr = SecretStr("")
    sandbox_webhook_secrets: Secrets = ()

    # Cards' fingerprints are stored as HMAC-SHA256 with this secret. Changing it loses which cards have had a trial.
    card_pepper: SecretStr = SecretStr("")

    # Proxies whose X-Forwarded-For says from where a webhook came. Loopback is one always.
    trusted_proxies: Networks = ()

    public_url: WebAddress = "http://127.0.0.1:8100"
    return_url_origins: Origins = ()

    # JSON, currency -> minor units: how much an operator may refund of one order without a second operator's approval.
    # A currency that is not listed has no limit.
    operator_refund_max_minor: dict[str, int] = Field(default_factory=dict)
    # Customers may return this many titles in this many days, and each title once, without an operator.
    self_refund_titles_max: int = Field(default=3, ge=0)
    self_refund_window_days: int = Field(default=90, ge=1)

    # Event type or its prefix -> address of the door that takes it; the longest prefix wins.
    event_routes: dict[str, str] = Field(default_factory=dict)
    # Sign and verify events for the doors. The first secret signs, all are accepted, so rotation needs no pause.
    event_secrets: Secrets = ()
    # Or, on Knative: a token of this issuer for this audience, from one of these subjects (service accounts).
    event_oidc_issuer: str = ""
    event_oidc_jwks_url: str = ""
    event_oidc_audience: str = ""
    event_oidc_subjects: Words = ()
    # Empty: the relay delivers over HTTP. Otherwise it writes to Kafka, and triggers deliver to the doors.
    kafka_bootstrap: Words = ()
    trigger_topics: Words = ("billing.jobs", "billing.events", "cinema.playback")
    trigger_group: str = "boxoffice"
    trigger_instance: str = ""  # static membership: a restart within the session timeout moves no partition
    trigger_port: int = Field(default=8090, ge=0, le=65535)  # of its health check, on loopback; 0: none
    renewal_tick_s: float = Field(default=60.0, gt=0)
    reconcile_tick_s: float = Field(default=10.0, gt=0)

    # Days after which reconcile deletes: what was received and done (Kafka and providers repeat for less), mails that were sent,
    # dead letters that were replayed or dismissed, and what operators did (the database keeps a year whatever is set here).
    keep_messages_days: int = Field(default=30, ge=15)
    keep_mails_days: int = Field(default=400, ge=30)
    keep_dead_letters_days: int = Field(default=90, ge=1)
    keep_repairs_days: int = Field(default=1095, ge=367)

    ses_endpoint_url: Annotated[WebAddress | None, AfterValidator(lambda value: value or None)] = None
    ses_region: str = "eu-central-1"
    mail_from: Annotated[str, AfterValidator(sender_address)] = "Boxoffice <tickets@cinema.example>"
    # What mails are signed with: the cinema's name, the page on which a customer manages subscriptions, and who answers.
    cinema_name: Annotated[str, AfterValidator(plain_name)] = "Boxoffice"
    cinema_account_url: WebAddress = "http://127.0.0.1:8100/account"
    cinema_support_email: Annotated[str, AfterValidator(mail_address)] = "help@cinema.example"

    @model_validator(mode="after")
    def _must_be_consistent(self) -> Self:
        if self.default_provider not in self.providers:
            raise ValueError(f"default_provider {self.default_provider!r} is not among providers")
        if unknown := sorted(set(self.providers_closed) - set(self.providers)):
            raise ValueError(f"providers_closed names {', '.join(unknown)}, which is not among providers")
        if self.default_provider in self.providers_closed:
            raise ValueError(f"default_provider {self.default_provider!r} takes no new orders")
        if "sandbox" in self.providers and not self.sandbox_url:
            raise ValueError("the sandbox needs sandbox_url")
        if "stripe" in self.providers and (wrong := self.stripe_lacks(production=self.livemode)):
            raise ValueError(wrong)
        if "yookassa" in self.providers and (wrong := self.yookassa_lacks(production=self.livemode)):
            raise ValueError(wrong)
        if any(len(secret.get_secret_value()) < _SECRET_CHARS_MIN for secret in self.reply_secrets):
            raise ValueError(f"each of reply_secrets has at least {_SECRET_CHARS_MIN} characters")
        oidc = (
            self.event_oidc_issuer,
            self.event_oidc_jwks_url,
            self.event_oidc_audience,
            self.event_oidc_subjects,
        )
        if any(oidc) and not all(oidc):
            raise ValueError("event_oidc_issuer, _jwks_url, _audience and _subjects belong together")
        if self.environment is Environment.PRODUCTION:
            if "sandbox" in self.providers:
                raise ValueError("the sandbox provider gives titles away: it cannot be used in production")
            if not self.auth_jwks_url.startswith("https://"):
                raise ValueError("in production the keys of the Auth service are fetched over https")
        return self

    @property
    def livemode(self) -> bool:
        """Whether providers must report live payments; elsewhere they must report test payments."""
        return self.environment is Environment.PRODUCTION

    @property
    def placeholders(self) -> list[str]:
        """Variables of mails that are left out or show an address that is not the cinema's: for a laptop, not for customers."""
        wrong = {
            "mail_from": is_placeholder(self.mail_from),
            "cinema_name": "cinema_name" not in self.model_fields_set,
            "cinema_account_url": not self.cinema_account_url.startswith("https://")
            or is_placeholder(self.cinema_account_url),
            "cinema_support_email": is_placeholder(self.cinema_support_email),
        }
        return [_variable((name,)) for name, it_is in wrong.items() if it_is]

    def page_to_return_to(self, url: str) -> str | None:
        """The address with scheme and host in lower case, as every provider accepts it.

        None if its origin is not allowed, exactly, or if a browser could parse it differently than we do.
        """
        origin, rest = split_origin(url)
        return origin + rest if origin in self.return_url_origins else None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises WrongSettingsError."""
    return read_settings()


def read_settings() -> Settings:
    """The settings in the environment now, not cached. Raises WrongSettingsError."""
    try:
        return Settings()
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        wrong = "; ".join(
            f"{_variable(one['loc'])}: {one['msg'].removeprefix('Value error, ')}" for one in found
        )
    except SettingsError:  # its cause is a parser's error and contains the whole text
        wrong = "BOXOFFICE_EVENT_ROUTES or BOXOFFICE_OPERATOR_REFUND_MAX_MINOR: not a JSON object"
    raise WrongSettingsError(wrong)


def _variable(place: tuple[int | str, ...]) -> str:
    return f"BOXOFFICE_{str(place[0]).upper()}" if place else "together"


def take_mounted(process: str) -> None:
    """Copy secrets that are mounted as files into the environment. Raises WrongSettingsError."""
    try:
        hold_mounted_secrets(process)
    except UnreadableSecretError as wrong:
        raise WrongSettingsError(str(wrong)) from None


class MissingSecretError(ValueError):
    """A process lacks required secrets; the text names their settings."""


def settings_of(process: str) -> Settings:
    """The settings of `process`, checked for what it needs (processes.py). Raises MissingSecretError or WrongSettingsError."""
    take_mounted(process)
    own = settings()
    if missing := lacking(process, os.environ, own.providers):
        raise MissingSecretError(f"{process} needs {', '.join(missing)}: see docs/roles.md")
    sees_cards = process in PROCESSES and Secret.PROVIDER_KEY in PROCESSES[process].secrets
    if own.livemode and sees_cards and not own.card_pepper.get_secret_value():
        raise MissingSecretError(f"in production {process} needs BOXOFFICE_CARD_PEPPER, a secret of your own")
    sends_mails = process in PROCESSES and Secret.MAIL in PROCESSES[process].secrets
    if own.livemode and sends_mails and (wrong := own.placeholders):
        raise WrongSettingsError(
            f"in production {process} needs {', '.join(wrong)} of your cinema: .env.example"
        )
    return own
