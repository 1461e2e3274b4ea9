"""The two commands a stranger types, as processes: they work, they stop, and SIGKILL costs nothing."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.kit.waiting import PATIENCE_S
from tests.local.launched import launched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
PROOFS_OF_THE_STORY = 22


@pytest.mark.crash
def test_a_killed_demo_that_is_run_again_loses_and_doubles_nothing(
    server_folders: Callable[[], Path],
) -> None:
    data = server_folders()
    # Any point between the first order and the last table; the message names it.
    proofs, delay_s = random.randint(2, PROOFS_OF_THE_STORY), random.uniform(0.0, 1.0)
    point = f"killed {delay_s:.2f} s after proof {proofs}"
    with launched("demo", data) as demo:
        demo.until("✓", proofs)
        time.sleep(delay_s)
        demo.end(signal.SIGKILL)
        demo.assert_nobody_left(within_s=PATIENCE_S)
    with launched("demo", data) as demo:
        assert demo.process.wait(timeout=5 * PATIENCE_S) == 0, f"{point}\n{demo.output}"
        assert "of earlier runs are here" in demo.output, point
        assert "Provider's books = our ledger = access given, to the cent" in demo.output, point
        demo.assert_nobody_left(within_s=0)


def test_up_answers_survives_a_killed_door_and_stops_without_leaving_anybody(
    server_folders: Callable[[], Path],
) -> None:
    data = server_folders()
    with launched("up", data) as up:
        up.until("The log follows")
        script = re.search(
            r"^curl .*?thanks\"}' \| python3 -m json.tool$", up.output, re.MULTILINE | re.DOTALL
        )
        assert script, up.output
        first = subprocess.run(["bash", "-c", script[0]], capture_output=True, text=True, check=True)
        assert '"checkout_url": "http://127.0.0.1:' in first.stdout
        gateway = next(line.split()[1] for line in up.lines if line.strip().startswith("Gateway"))
        assert (
            httpx.post(
                f"{gateway}/events", headers={"ce-type": "billing.tick.renewal"}, timeout=PATIENCE_S
            ).status_code
            == 404
        )
        _kill_the_door("webhook", gateway)
        up.until("webhook is back")
        assert (
            httpx.post(f"{gateway}/v1/webhooks/sandbox", content=b"{}", timeout=PATIENCE_S).status_code == 400
        )
        assert up.end(signal.SIGTERM) == 0
        up.assert_nobody_left(within_s=0)
    assert "Traceback" not in up.output


def _kill_the_door(name: str, gateway: str) -> None:
    """By the name in its environment, among the processes of that gateway's stack."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if {f"FUNCTION={name}".encode(), f"BOXOFFICE_PUBLIC_URL={gateway}".encode()} <= set(environment):
            os.kill(int(folder.name), signal.SIGKILL)
            return
    raise AssertionError(f"{name} does not run")
