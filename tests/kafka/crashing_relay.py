"""A relay that ends by SIGKILL at the crash point CRASH_AT: `delete_acknowledged:before_commit` is after the acknowledgement."""

from __future__ import annotations

import asyncio
import os
import signal

from shared_lib.runtime import Runtime
from shared_lib.settings import settings
from shared_lib.workers.kafka_relay import KafkaRelay
from tests.kit.crash_points import watch


async def die(crash_point: str) -> None:
    if crash_point == os.environ["CRASH_AT"]:
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    rt = await Runtime.open(settings())
    watch(rt, die)
    await KafkaRelay(rt, rt.settings.kafka_bootstrap).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
