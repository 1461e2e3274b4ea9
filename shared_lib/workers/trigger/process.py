"""Builds a trigger from the settings; opens and closes what it needs."""

from __future__ import annotations

import logging
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog
import uvloop
from kafka.errors import KafkaError

from shared_lib import log as logs
from shared_lib.contract.events import DEAD_LETTERS
from shared_lib.events.proof import EventSigner, signer_of
from shared_lib.garbage import settle_down
from shared_lib.settings import Settings, settings_of
from shared_lib.visible import say
from shared_lib.workers.signals import until_stopped
from shared_lib.workers.trigger import health
from shared_lib.workers.trigger.delivery import DoorClient, Patience
from shared_lib.workers.trigger.letters import DeadLetters
from shared_lib.workers.trigger.member import Group
from shared_lib.workers.trigger.trigger import Limits, Trigger

log = structlog.get_logger("boxoffice")


def run() -> int:
    """Run until SIGTERM. Exit status 1 when it could not continue, 2 when no Kafka is configured."""
    logs.configure(function="trigger")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # the trigger logs what matters
    own = settings_of("trigger")
    if not own.kafka_bootstrap:
        say(
            "BOXOFFICE_KAFKA_BOOTSTRAP is not set: the relay delivers events over HTTP, and no trigger is needed.",
            sys.stderr,
        )
        return 2
    signer = signer_of(own, lambda: datetime.now(UTC))
    try:
        uvloop.run(_run(own, signer))
    except (KafkaError, OSError) as error:
        log.exception("trigger_ended", error=type(error).__name__)
        return 1
    return 0


async def _run(own: Settings, signer: EventSigner) -> None:
    limits = Limits()
    async with AsyncExitStack() as stack:
        stop = until_stopped()
        doors = DoorClient(Patience(), signer, requests_max=limits.requests_max)
        stack.push_async_callback(doors.aclose)
        letters = DeadLetters(own.kafka_bootstrap, DEAD_LETTERS)
        stack.push_async_callback(letters.aclose)
        group = Group(
            bootstrap=own.kafka_bootstrap,
            topics=own.trigger_topics,
            name=own.trigger_group,
            instance=own.trigger_instance,
        )
        trigger = Trigger(group, own.event_routes, doors, letters, limits)
        if own.trigger_port:
            server = await health.serve(own.trigger_port, trigger.health)
            stack.callback(server.close)
        settle_down()
        await trigger.run(stop)
