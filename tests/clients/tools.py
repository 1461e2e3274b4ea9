"""Programs of others that read docs/openapi.json: generators of clients, a TypeScript compiler, a fuzzer. Installed on first use.

They stand in `clients/` of the virtualenv, in a folder for each state of the two lock files: Python's in an environment of their own,
JavaScript's in node_modules.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
OPENAPI: Final = ROOT / "docs" / "openapi.json"
_PINS: Final = ("requirements.lock", "package-lock.json")
_NODE_NEEDS: Final = (*_PINS[1:], "package.json", ".npmrc")


@dataclass(frozen=True)
class Tools:
    """Where they are installed."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "python" / "bin"

    @property
    def node_modules(self) -> Path:
        return self.folder / "node_modules"

    async def run(self, folder: Path, *command: str | Path, **environment: str) -> str:
        """What the program printed. Fails with it when the program fails. Other tasks, such as a cinema's doors, go on."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        path = f"{self.bin}{os.pathsep}{self.node_modules / '.bin'}{os.pathsep}{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            cwd=folder,
            env=inherited | {"PATH": path, "NO_COLOR": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        printed = output.decode()
        assert process.returncode == 0, f"{command[0]} ended with {process.returncode}:\n{printed}"
        return printed

    def project(self, folder: Path, *sources: Path) -> Path:
        """A folder in which TypeScript finds what package.json names, with copies of these files."""
        folder.mkdir(exist_ok=True)
        for source in (HERE / "package.json", *sources):
            shutil.copy(source, folder)
        (folder / "node_modules").symlink_to(self.node_modules)
        return folder


def installed() -> Tools:
    """The tools that the lock files pin. Takes seconds the first time; a second process waits for the first."""
    digest = hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in _PINS)).hexdigest()[:16]
    # Resolved: programs name their interpreter by its path, and a link to the virtualenv may go away.
    tools = Tools(Path(sys.prefix).resolve() / "clients" / digest)
    tools.folder.mkdir(parents=True, exist_ok=True)
    with (tools.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = tools.folder / ".ready"
        if not ready.exists():
            _install(tools)
            ready.touch()
    return tools


def _install(tools: Tools) -> None:
    for name in _NODE_NEEDS:
        shutil.copy(HERE / name, tools.folder)
    subprocess.run([sys.executable, "-m", "venv", "--clear", tools.bin.parent], check=True)
    pip = (str(tools.bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    commands = ((*pip, "--require-hashes", "-r", str(HERE / _PINS[0])), ("npm", "ci"))
    running = [
        subprocess.Popen(
            command,
            cwd=tools.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    ended = [(process.communicate()[0], process.returncode) for process in running]
    assert not any(code for _, code in ended), "\n".join(text for text, _ in ended)


if __name__ == "__main__":
    installed()
