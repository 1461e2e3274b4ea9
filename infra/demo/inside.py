"""make demo TARGET=compose: the story of infra/local on the stack in containers, told from a container beside it.

    docker compose run --rm demo

On Kubernetes a pod runs it, and GATEWAY_URL says where NGINX is. Customers come through NGINX. The provider's control surface,
the Auth stand-in and the database are not published, so the process that turns the clock and counts the money stands inside.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from kafka.errors import KafkaError

from infra.demo.bus import Bus
from infra.demo.cinema import Cinema
from infra.demo.demo import told
from infra.demo.town import Town, open_town
from infra.local.console import Console
from infra.local.home import Running
from infra.local.processes import StackError
from shared_lib.settings import Settings, settings
from shared_lib.visible import say

PLAYED_TIMEOUT_S: Final = 30.0
_PLAYED: Final = (
    "SELECT 1 FROM entitlements WHERE customer_id = %s AND product_id = %s AND first_played_at IS NOT NULL"
)


def inside(own: Settings) -> Running:
    """The parts of the stack as docker-compose.yml names them; Kubernetes names them likewise, but for the gateway."""
    return Running(
        pid=0,
        gateway=os.environ.get("GATEWAY_URL", "http://nginx:8080"),
        public=own.public_url,
        auth="http://auth:8080",
        sandbox=own.sandbox_url,
        mail=own.ses_endpoint_url or "",
        database_url=own.database_url,
        doors={},
    )


class TownOnKafka(Town):
    """Here the cinema tells on the bus what it tells the door alone on the local stack."""

    cinema: Cinema
    bus: Bus

    async def waiting(self) -> dict[str, int]:
        """Here an event that has left the outbox is not yet with its door."""
        behind = await self.bus.behind()
        return await super().waiting() | ({"records on Kafka": behind} if behind else {})

    async def play(self, customer_id: str, product_id: str) -> None:
        """Returns when it has come through: the story looks at once."""
        await self.cinema.tell(customer_id, product_id, await self.now())
        deadline = asyncio.get_running_loop().time() + PLAYED_TIMEOUT_S
        while not await self.rows(_PLAYED, customer_id, product_id):
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(
                    "What the cinema told on Kafka has not arrived. Look at what trigger and playback wrote."
                )
            await asyncio.sleep(0.05)


async def demo() -> bool:
    """True when the story went as promised and every cent is accounted for."""
    own = settings()
    console = Console(Path("/tmp"), quiet=True)  # noqa: S108  # nothing is written there
    cinema, bus = Cinema(own.kafka_bootstrap), Bus(own)

    def on_kafka(*parts: Any) -> TownOnKafka:
        town = TownOnKafka(*parts)
        town.cinema, town.bus = cinema, bus
        return town

    async with open_town(inside(own), own.sandbox_api_key.get_secret_value(), on_kafka) as town:
        console.say(f"Playing behind NGINX; customers know it as {own.public_url}")
        try:
            return await told(town, console)
        finally:
            cinema.close()
            bus.close()


def main() -> int:
    try:
        return 0 if asyncio.run(demo()) else 1
    except (StackError, httpx.TransportError, psycopg.OperationalError, KafkaError) as error:
        say(f"{error!r}\nIs everything up? make up_all, or make kind_up", sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
