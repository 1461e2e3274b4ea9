"""The database role and the secrets of each process of Boxoffice. A process must not hold any other.

Data only, importing the standard library alone: the processes, the local stack, the stack in containers and the tests that
compare them read it. docs/roles.md shows it as a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Role(StrEnum):
    """The database roles. Roles belong to the server: two Boxoffices on one server share them."""

    OWNER = "boxoffice_owner"  # migrations
    DOOR = "boxoffice_door"  # the functions
    RELAY = "boxoffice_relay"
    SUPPORT = "boxoffice_support"  # `boxoffice explain`, `doctor`, ...: read only
    OPERATOR = "boxoffice_operator"  # `boxoffice catalog`, `dead-letters replay`


class Secret(StrEnum):
    """Kinds of secrets; the value names the file of container secrets."""

    PROVIDER_KEY = "provider"
    WEBHOOK_SECRETS = "webhook"
    REDIS = "redis"
    REPLY_SECRETS = "replies"  # seal the replies in Redis
    MAIL = "mail"
    KAFKA = "kafka"
    EVENT_SECRETS = "events"  # sign events for the doors


# The environment variables of each kind. Those of a provider of real money are in OF_PROVIDERS.
VARIABLES: Final[Mapping[Secret, tuple[str, ...]]] = MappingProxyType(
    {
        # A provider's answers identify cards, and the process that reads them hashes the card's fingerprint.
        Secret.PROVIDER_KEY: ("BOXOFFICE_SANDBOX_API_KEY", "BOXOFFICE_CARD_PEPPER"),
        Secret.WEBHOOK_SECRETS: ("BOXOFFICE_SANDBOX_WEBHOOK_SECRETS",),
        Secret.REDIS: ("BOXOFFICE_REDIS_URL",),
        Secret.REPLY_SECRETS: ("BOXOFFICE_REPLY_SECRETS",),
        Secret.EVENT_SECRETS: ("BOXOFFICE_EVENT_SECRETS",),
        Secret.KAFKA: ("BOXOFFICE_KAFKA_PASSWORD",),
        Secret.MAIL: ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    }
)
# The secrets of each provider of real money, which the stacks of this repository do not hold. A new provider adds its own here.
OF_PROVIDERS: Final[Mapping[str, Mapping[Secret, tuple[str, ...]]]] = MappingProxyType(
    {
        "stripe": {
            Secret.PROVIDER_KEY: ("BOXOFFICE_STRIPE_SECRET_KEY",),
            Secret.WEBHOOK_SECRETS: ("BOXOFFICE_STRIPE_WEBHOOK_SECRETS",),
        },
        "yookassa": {Secret.PROVIDER_KEY: ("BOXOFFICE_YOOKASSA_SECRET_KEY",)},  # it signs no webhooks
    }
)
DATABASE: Final = "BOXOFFICE_DATABASE_URL"
# A process that lists these does not start without them. Redis only saves time, and SES may use the machine's role.
_REQUIRED: Final = frozenset({Secret.PROVIDER_KEY, Secret.WEBHOOK_SECRETS})


class Needs(NamedTuple):
    """What a process is given. `role` is None without a database."""

    role: Role | None
    secrets: frozenset[Secret]


def _needs(role: Role | None, *secrets: Secret) -> Needs:
    return Needs(role, frozenset(secrets))


PROCESSES: Final[Mapping[str, Needs]] = MappingProxyType(
    {
        "create_order": _needs(
            Role.DOOR, Secret.PROVIDER_KEY, Secret.REDIS, Secret.REPLY_SECRETS, Secret.EVENT_SECRETS
        ),
        # It asks the provider about hints and contradictions.
        "webhook": _needs(Role.DOOR, Secret.PROVIDER_KEY, Secret.WEBHOOK_SECRETS),
        "renew": _needs(Role.DOOR, Secret.PROVIDER_KEY, Secret.EVENT_SECRETS),
        "refund": _needs(
            Role.DOOR, Secret.PROVIDER_KEY, Secret.REDIS, Secret.REPLY_SECRETS, Secret.EVENT_SECRETS
        ),
        "notify": _needs(Role.DOOR, Secret.MAIL, Secret.EVENT_SECRETS),
        "subscription": _needs(Role.DOOR),
        "account": _needs(Role.DOOR, Secret.PROVIDER_KEY),  # to detach a forgotten payment method
        "reconcile": _needs(Role.DOOR, Secret.PROVIDER_KEY, Secret.EVENT_SECRETS),
        "playback": _needs(Role.DOOR, Secret.EVENT_SECRETS),
        "relay": _needs(
            Role.RELAY, Secret.EVENT_SECRETS, Secret.KAFKA
        ),  # the event secrets only when it delivers over HTTP
        "clock": _needs(None, Secret.EVENT_SECRETS),
        "trigger": _needs(None, Secret.EVENT_SECRETS, Secret.KAFKA),
        "topics": _needs(None, Secret.KAFKA),
        "migrate": _needs(Role.OWNER),
        # `doctor` calls the provider and Redis; `tick` sends an event.
        "cli": _needs(Role.OPERATOR, Secret.PROVIDER_KEY, Secret.REDIS, Secret.EVENT_SECRETS, Secret.KAFKA),
    }
)

# The doors that ask a provider in most of their calls. `webhook` and `account` have its key, and seldom need it.
ASKING: Final = frozenset({"create_order", "renew", "refund", "reconcile"})


def variables_of(process: str) -> list[str]:
    """The variables that hold the secrets of `process`, without those of OF_PROVIDERS; none for a process that is not listed."""
    needs = PROCESSES.get(process)
    if needs is None:
        return []
    return [
        *([DATABASE] if needs.role else []),
        *(name for it in sorted(needs.secrets) for name in VARIABLES[it]),
    ]


def variables_of_providers(process: str) -> list[str]:
    """The variables of OF_PROVIDERS that `process` may hold."""
    kinds = PROCESSES[process].secrets if process in PROCESSES else ()
    return [name for own in OF_PROVIDERS.values() for kind in sorted(kinds) for name in own.get(kind, ())]


def lacking(process: str, environment: Mapping[str, str], providers: tuple[str, ...]) -> list[str]:
    """The variables that `process` needs and `environment` lacks; none for a process that is not listed.

    Of the providers' secrets, only those of `providers` count.
    """
    needs = PROCESSES.get(process)
    if needs is None:
        return []
    wanted = [DATABASE] if needs.role else []
    for secret in sorted(needs.secrets & _REQUIRED):
        wanted += [name for name in VARIABLES[secret] if _provider_of(name) in providers]
        wanted += [name for own in providers for name in OF_PROVIDERS.get(own, {}).get(secret, ())]
    return [name for name in wanted if not environment.get(name)]


def lacking_key(environment: Mapping[str, str], provider: str) -> str | None:
    """The variable of a provider's API key that `environment` lacks; None when it is set, or the provider needs none."""
    names = [name for name in VARIABLES[Secret.PROVIDER_KEY] if _provider_of(name) == provider]
    names += OF_PROVIDERS.get(provider, {}).get(Secret.PROVIDER_KEY, ())
    return next((name for name in names if not environment.get(name)), None)


def _provider_of(variable: str) -> str:
    """BOXOFFICE_SANDBOX_API_KEY belongs to `sandbox`."""
    return variable.removeprefix("BOXOFFICE_").split("_")[0].lower()
