"""The one list of the providers that the conformance kit runs for: a new one is one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.providers.simulator import ProviderSimulator, SandboxSimulator
from tests.providers.stripe_simulator import StripeSimulator
from tests.providers.yookassa_simulator import YooKassaSimulator

ADAPTERS: Final[Mapping[str, type[ProviderSimulator]]] = MappingProxyType(
    {it.name: it for it in (SandboxSimulator, StripeSimulator, YooKassaSimulator)}
)
SIGNING: Final = tuple(name for name, it in ADAPTERS.items() if it.signs)
