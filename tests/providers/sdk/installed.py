"""YooKassa's official SDK, in a folder of the virtualenv for each state of its lock file, installed on first use.

It is published as source alone, so it cannot stand in requirements-dev.lock, which has wheels alone. It needs no compiler.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
_LOCK: Final = HERE / "requirements.lock"
_DRIVE: Final = HERE / "drive.py"


def installed() -> Path:
    """Where it can be imported from. Takes seconds the first time; a second process waits for the first."""
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    folder = Path(sys.prefix).resolve() / "sdks" / digest
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / ".ready"
        if not ready.exists():
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            # Built with the setuptools of the virtualenv, which is pinned.
            how = ["--no-build-isolation", "--no-deps", "--require-hashes", "--upgrade", "--target"]
            subprocess.run([*pip, *how, str(folder), "-r", str(_LOCK)], check=True)
            ready.touch()
    return folder


async def drive(*arguments: str, given: str = "", **environment: str) -> str:
    """What drive.py printed. Fails with its errors when it fails."""
    folder = await asyncio.to_thread(installed)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_DRIVE),
        *arguments,
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        printed, errors = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()[-3000:]
    return printed.decode()
