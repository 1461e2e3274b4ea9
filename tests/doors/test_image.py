"""The image's own scripts, and that each platform leaves a door the time it needs to stop."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # as in tests/compose

from infra.nginx.doors import service
from shared_lib.contract.routes import DOORS
from shared_lib.runtime import CLOSE_S
from shared_lib.settings import Settings
from tests.doors.running import DoorProcess, door_process
from tests.kit.cinema import Cinema
from tests.kit.waiting import until

ROOT: Final = Path(__file__).parents[2]
READY: Final = ROOT / "infra/docker/ready"


async def found_ready(door: DoorProcess, **environment: str) -> bool:
    """What a container's health check says."""
    plain = {name: value for name, value in os.environ.items() if name not in ("PORT", "UVICORN_PORT")}
    process = await asyncio.create_subprocess_exec(
        str(READY), env=plain | environment, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


@pytest.mark.parametrize("given", ["PORT", "UVICORN_PORT"])
async def test_a_door_listens_where_it_is_told_and_its_health_check_looks_there(
    cinema: Cinema, given: str
) -> None:
    """Knative sets PORT, and it wins: the image itself names 8080 by UVICORN_PORT."""
    async with door_process(cinema.rt.settings, "subscription", given=given, BOXOFFICE_DRAIN_S="60") as door:
        await until(door.ready)
        there = {given: str(door.port)} | ({"UVICORN_PORT": "9"} if given == "PORT" else {})
        assert await found_ready(door, **there)
        assert not await found_ready(door, PORT="9")
        door.terminate()

        async def going() -> bool:
            return not await found_ready(door, **there)

        await until(going)
        assert (await door.get("/livez")).status_code == 200
        door.terminate()
        await door.ended()


def stopping_s() -> float:
    """Drain, what is being answered, and the end of it all: as the image and the settings have it."""
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    (graceful,) = re.findall(r"UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN=(\d+)", dockerfile)
    return float(Settings.model_fields["drain_s"].default) + float(graceful) + CLOSE_S


def test_compose_leaves_a_door_the_time_to_stop() -> None:
    services: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
        "services"
    ]
    assert {services[service(door)]["stop_grace_period"] for door in DOORS} == {"40s"}
    assert stopping_s() <= 40


def test_knative_leaves_a_door_the_time_to_stop() -> None:
    """A pod's grace is timeoutSeconds; queue-proxy drains for 30 to 45 s of it, and then nothing is being answered."""
    patch = yaml.safe_load((ROOT / "k8s/base/doors/every-door.yaml").read_text())
    grace = {one["path"]: one["value"] for one in patch}["/spec/template/spec/timeoutSeconds"]
    assert stopping_s() <= grace
    assert 45 + float(Settings.model_fields["drain_s"].default) + CLOSE_S <= grace
