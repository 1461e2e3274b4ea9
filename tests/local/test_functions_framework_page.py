"""The commands of docs/functions-framework.md, as they stand there, beside a running local stack."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from infra.servers.ports import free_port
from tests.kit.waiting import PATIENCE_S
from tests.local.launched import ROOT, launched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
PAGE: Final = (ROOT / "docs/functions-framework.md").read_text()
BLOCKS: Final = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PORTS: Final = ("8200", "8201")


def test_the_page_starts_two_functions_and_calls_them_four_times(
    server_folders: Callable[[], Path],
) -> None:
    data, ours = server_folders(), {port: str(free_port()) for port in PORTS}

    def as_here(block: str) -> str:
        for port, our in ours.items():
            block = block.replace(port, our)
        return block.replace(".local/", f"{data}/").replace(".venv/bin/", f"{Path(sys.executable).parent}/")

    starts = [as_here(block) for block in BLOCKS if "functions-framework" in block]
    calls = [as_here(block) for block in BLOCKS if "curl" in block]
    assert (len(starts), len(calls)) == (2, 4)
    with launched("up", data) as up:
        up.until("The log follows")
        gateway = json.loads((data / "running.json").read_text())["gateway"]
        with started(starts[0], ours["8200"]), started(starts[1], ours["8201"]):
            order, *events = (answer(call.replace("http://127.0.0.1:8100", gateway)) for call in calls)
        assert json.loads(order)["status"] == "pending"
        assert events == ["OK", "OK", "OK"]


def answer(script: str) -> str:
    return subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    ).stdout


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


@contextmanager
def started(script: str, port: str) -> Iterator[None]:
    process = subprocess.Popen(["bash", "-c", script], cwd=ROOT, env=environment(), start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready(port):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it never became ready"
            time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=PATIENCE_S)


def ready(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
