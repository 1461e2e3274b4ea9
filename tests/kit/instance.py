"""A second instance of Boxoffice in a process of its own, which can be killed at a crash point; the first one, `cinema`, survives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import httpx

from infra.servers.ports import free_port
from shared_lib.settings import Settings
from tests.kit.cinema import KEEP_ALIVE_S, Cinema
from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instance:
    """`cinema` sends its calls to this instance."""

    cinema: Cinema
    process: asyncio.subprocess.Process
    output: IO[bytes]

    async def died(self) -> None:
        """Wait until it has reached its crash point: SIGKILL ended it."""
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
        assert code == -signal.SIGKILL, self.said()

    async def dies_during(self, *calls: Any) -> None:
        """Make the calls; the instance is killed meanwhile and every caller loses its connection."""
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, httpx.TransportError) for answer in answers), (answers, self.said())
        await self.died()

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read()[-4000:].decode(errors="replace")


@asynccontextmanager
async def second_instance(
    cinema: Cinema, crash_at: str = "", *, relay: bool = False
) -> AsyncIterator[Instance]:
    """An instance on the same database, Redis and provider. It is killed at the crash point `crash_at` (kit/crash_points.py)."""
    port = free_port()
    more = {"CRASH_AT": crash_at, "CRASH_ROLE": "relay" if relay else "", "PYTHONPATH": str(ROOT)}
    argv = ["-m", "uvicorn", "tests.kit.crash_app:app", "--port", str(port), "--log-level", "critical"]
    argv += ["--timeout-keep-alive", str(KEEP_ALIVE_S)]
    with TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *argv,
            cwd=ROOT,
            env=os.environ | environment((cinema.relay_rt if relay else cinema.rt).settings) | more,
            stdout=output,
            stderr=output,
        )
        one = Instance(replace(cinema, url=f"http://127.0.0.1:{port}"), process, output)
        try:
            if not relay:
                await _listens(one)
            yield one
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a process of its own reads them."""
    given = settings.model_dump(mode="json", exclude_none=True)
    given |= {
        "sandbox_api_key": settings.sandbox_api_key.get_secret_value(),
        "event_secrets": [one.get_secret_value() for one in settings.event_secrets],
        "sandbox_webhook_secrets": [one.get_secret_value() for one in settings.sandbox_webhook_secrets],
    }
    return {f"BOXOFFICE_{name.upper()}": _text(value) for name, value in given.items()}


def _text(value: Any) -> str:
    match value:
        case dict():
            return json.dumps(value)
        case list() | tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


async def _listens(one: Instance) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while one.process.returncode is None:
            try:
                await one.cinema.http.get(one.cinema.url + "/nothing")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError(one.said())
