"""A trigger made of the settings, with everything it needs opened and closed."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog
from kafka.errors import KafkaError

from shared_lib import log as logs
from shared_lib.events.proof import EventSigner, signer_of
from shared_lib.settings import Settings, settings_of
from shared_lib.visible import say
from shared_lib.workers.signals import until_stopped
from shared_lib.workers.topics import DEAD_LETTERS
from shared_lib.workers.trigger import health
from shared_lib.workers.trigger.delivery import Courier, Patience
from shared_lib.workers.trigger.letters import DeadLetters
from shared_lib.workers.trigger.member import Group
from shared_lib.workers.trigger.trigger import Limits, Trigger

log = structlog.get_logger("boxoffice")


def run() -> int:
    """Exit status 1 when it could not go on, 2 when there is nothing to consume."""
    logs.configure(function="trigger")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what matters of it, we say ourselves
    own = settings_of("trigger")
    if not own.kafka_bootstrap:
        say(
            "BOXOFFICE_KAFKA_BOOTSTRAP is not set: the relay delivers events over HTTP, and no trigger is needed.",
            sys.stderr,
        )
        return 2
    signer = signer_of(own, lambda: datetime.now(UTC))
    try:
        asyncio.run(_run(own, signer))
    except (KafkaError, OSError) as error:
        log.exception("trigger_ended", error=type(error).__name__)
        return 1
    return 0


async def _run(own: Settings, signer: EventSigner) -> None:
    limits = Limits()
    async with AsyncExitStack() as stack:
        stop = until_stopped()
        courier = Courier(Patience(), signer, requests_max=limits.requests_max)
        stack.push_async_callback(courier.aclose)
        letters = DeadLetters(own.kafka_bootstrap, DEAD_LETTERS)
        stack.push_async_callback(letters.aclose)
        group = Group(
            bootstrap=own.kafka_bootstrap,
            topics=own.trigger_topics,
            name=own.trigger_group,
            instance=own.trigger_instance,
        )
        trigger = Trigger(group, own.event_routes, courier, letters, limits)
        if own.trigger_port:
            server = await health.serve(own.trigger_port, trigger.health)
            stack.callback(server.close)
        await trigger.run(stop)
