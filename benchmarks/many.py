"""The sandbox's client for an account that bears a thousand charges in flight.

BOXOFFICE_PROVIDERS=benchmarks.many:ManyAtOnce PROVIDER_URL=http://127.0.0.1:PORT
"""

from __future__ import annotations

import os
from typing import Final

from benchmarks.provider import API_KEY
from infra.sandbox.launch import new_webhook_secret
from shared_lib.domain.values import replace
from shared_lib.http_client.transport import AiohttpTransport
from shared_lib.providers.base import ChargeRequest, PaymentSnapshot
from shared_lib.providers.sandbox import CAPABILITIES, SandboxProvider

NAME: Final = "benchmarks.many:ManyAtOnce"
IN_FLIGHT: Final = 1000


class ManyAtOnce(SandboxProvider):
    """Implements PaymentProvider for charges. PROVIDER_URL is where `benchmarks.provider` listens."""

    name = NAME
    capabilities = replace(CAPABILITIES, max_concurrency=IN_FLIGHT)

    def __init__(self) -> None:
        super().__init__(
            base_url=os.environ["PROVIDER_URL"],
            api_key=API_KEY,
            webhook_secrets=[new_webhook_secret()],
            http=AiohttpTransport(connections_max=IN_FLIGHT),
        )

    async def charge(self, req: ChargeRequest) -> PaymentSnapshot:
        found = await super().charge(req)
        return replace(found, ref=replace(found.ref, provider=NAME))
