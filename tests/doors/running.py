"""One door in a process of its own, with the settings of a cinema: as it runs in the image, or under the plain framework."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import httpx

from infra.servers.ports import free_port
from shared_lib.settings import Settings
from tests.kit.instance import environment
from tests.kit.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]
SERVE = ROOT / "infra/docker/serve"


def framework_command(function: str, *more: str) -> tuple[str, ...]:
    """The command of functions-framework's documentation. The framework reads its port from PORT."""
    source = f"functions/{function}/main.py"
    return ("functions-framework", "--target", function, "--source", source, "--host", "127.0.0.1", *more)


@dataclass(frozen=True)
class DoorProcess:
    process: asyncio.subprocess.Process
    output: IO[bytes]
    port: int
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(self.url + path)

    async def ready(self) -> bool:
        return (await self.get("/readyz")).status_code == 200

    def terminate(self) -> None:
        with suppress(ProcessLookupError):  # it has ended
            self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.process.wait()

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read().decode(errors="replace")


@asynccontextmanager
async def door_process(
    settings: Settings,
    function: str,
    *,
    given: str = "PORT",
    command: Sequence[str] = (str(SERVE),),
    **more: str,
) -> AsyncIterator[DoorProcess]:
    """The door, listening; it need not be ready. `more` goes into its environment, its port as the variable `given`."""
    port = free_port()
    ports = {"UVICORN_PORT": "9", given: str(port)}
    environs = environment(settings) | {"FUNCTION": function, "PYTHONPATH": str(ROOT)} | ports
    environs |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UVICORN_TIMEOUT_KEEP_ALIVE": "95",
    }
    environs |= {"UVICORN_LOG_LEVEL": "warning", "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "25"}
    with TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdout=output,
            stderr=output,
            env=os.environ | environs | more,
            start_new_session=True,  # the framework's server has children
        )
        async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
            one = DoorProcess(process, output, port, http)

            async def listens() -> bool:
                assert process.returncode is None, one.said()
                try:
                    return (await one.get("/livez")).is_success
                except httpx.TransportError:
                    return False

            try:
                await until(listens)
                yield one
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
