"""make demo TARGET=compose: the story of infra/local on the stack in containers, told from a container beside it.

    docker compose run --rm demo

Customers come through NGINX. The provider's control surface, the Auth stand-in and the database are not published, so
whoever turns the clock and counts the money must stand inside.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import psycopg

from infra.local.console import Console
from infra.local.demo import told
from infra.local.home import Running
from infra.local.processes import StackError
from infra.local.town import open_town
from shared_lib.settings import Settings, settings


def inside(own: Settings) -> Running:
    """The parts of the stack as docker-compose.yml names them."""
    return Running(
        pid=0,
        gateway="http://nginx:8080",
        public=own.public_url,
        auth="http://auth:8080",
        sandbox=own.sandbox_url,
        mail=own.ses_endpoint_url or "",
        database_url=own.database_url,
        doors={"playback": own.event_routes["cinema.playback.started"]},
    )


async def demo() -> bool:
    """True when the story went as promised and every cent is accounted for."""
    own = settings()
    console = Console(Path("/tmp"), quiet=True)  # noqa: S108  # nothing is written there
    async with open_town(inside(own), own.sandbox_api_key.get_secret_value()) as town:
        console.say(f"Playing on the stack in containers; customers know it as {own.public_url}")
        return await told(town, console)


def main() -> int:
    try:
        return 0 if asyncio.run(demo()) else 1
    except (StackError, httpx.TransportError, psycopg.OperationalError) as error:
        print(f"{error!r}\nIs everything up? make up_all", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
