"""make demo TARGET=compose: the story on the stack in containers, played from a container beside it.

    docker compose run --rm demo

On Kubernetes a pod runs it, and GATEWAY_URL is the address of NGINX. Customers call NGINX. The provider's control surface, the
Auth stand-in and the database are not published, so the process that moves the clock and compares the money runs inside.
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
from infra.demo.play import play
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
    """The parts of the stack as docker-compose.yml names them; Kubernetes uses the same names, except for the gateway."""
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
    """The cinema sends its events through Kafka; on the local stack it calls the door."""

    cinema: Cinema
    bus: Bus

    async def waiting(self) -> dict[str, int]:
        """Adds records on Kafka: an event that has left the outbox may not have reached its door yet."""
        behind = await self.bus.behind()
        return await super().waiting() | ({"records on Kafka": behind} if behind else {})

    async def play(self, customer_id: str, product_id: str) -> None:
        """Returns when the event has been applied, because the story reads the result at once."""
        await self.cinema.send_started(customer_id, product_id, await self.now())
        deadline = asyncio.get_running_loop().time() + PLAYED_TIMEOUT_S
        while not await self.rows(_PLAYED, customer_id, product_id):
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(
                    "The cinema's event on Kafka was not applied. Look into the logs of trigger and playback."
                )
            await asyncio.sleep(0.05)


async def demo() -> bool:
    """True when the story went as expected and every amount agrees."""
    own = settings()
    console = Console(Path("/tmp"), quiet=True)  # noqa: S108  # the console writes no log here
    cinema, bus = Cinema(own.kafka_bootstrap), Bus(own)

    def on_kafka(*parts: Any) -> TownOnKafka:
        town = TownOnKafka(*parts)
        town.cinema, town.bus = cinema, bus
        return town

    async with open_town(inside(own), own.sandbox_api_key.get_secret_value(), on_kafka) as town:
        console.say(f"Playing behind NGINX; customers know it as {own.public_url}")
        try:
            agrees = await play(town, console)
        finally:
            cinema.close()
            bus.close()
    if agrees:
        console.say("\nWhat next, each with the same TARGET:")
        console.say("  make mails    read what was mailed")
        console.say("  make cli      all about one order: ARGS='explain ord_...'")
        console.say("  make logs     what happens now")
    return agrees


def main() -> int:
    try:
        return 0 if asyncio.run(demo()) else 1
    except (StackError, httpx.TransportError, psycopg.OperationalError, KafkaError) as error:
        say(f"{error!r}\nIs everything up? make up_all, or make kind_up", sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
