"""make up ARGS=--reload starts again what runs the code that changed, and cuts no request off."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from infra.local.reloading import WORKERS, parts_of
from shared_lib.contract.routes import DOORS
from tests.kit.waiting import PATIENCE_S
from tests.local.launched import ROOT, Launched, launched

SLOW_MS = 1500


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ("functions/refund/main.py", ("refund",)),
        ("functions/__init__.py", ()),
        ("shared_lib/domain/money.py", tuple(sorted((*DOORS, *WORKERS)))),
        ("shared_lib/contract/routes.py", tuple(sorted((*DOORS, *WORKERS, "gateway")))),
        ("infra/sandbox/engine/cards.py", ("sandbox",)),
        ("infra/standins/gateway.py", ("auth", "gateway")),
        ("infra/local/up.py", ()),
        ("README.md", ()),
    ],
)
def test_a_changed_file_names_the_parts_that_run_it(changed: str, parts: tuple[str, ...]) -> None:
    assert parts_of([Path(changed)]) == parts


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, to be changed."""
    root = tmp_path_factory.mktemp("code")
    for room in ("shared_lib", "functions", "infra"):
        shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture(scope="module")
def stack(code: Path, server_folders: Callable[[], Path]) -> Iterator[Launched]:
    with launched("up", server_folders(), "--reload", root=code) as up:
        up.until("The log follows")
        up.until("for changes.")
        yield up


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
class TestStack:
    def test_a_request_in_hand_is_answered_before_its_door_starts_again(
        self, stack: Launched, code: Path
    ) -> None:
        running = json.loads((stack.data / "running.json").read_text())
        faults = f"{running['sandbox']}/control/faults"
        httpx.post(faults, json={"kind": "slow", "ms": SLOW_MS, "operation": "checkout.*"}).raise_for_status()
        with (
            ThreadPoolExecutor(1) as threads,
            httpx.Client(base_url=running["doors"]["create_order"], timeout=PATIENCE_S) as door,
        ):
            door.get("/livez").raise_for_status()  # the connection is kept alive, and the order takes it
            order = threads.submit(
                door.post,
                "/v1/orders",
                headers={
                    "authorization": f"Bearer {(stack.data / 'customer.token').read_text()}",
                    "idempotency-key": "in-hand-while-reloading",
                },
                json={"price_id": "prc_stalker_buy", "return_url": f"{running['gateway']}/thanks"},
            )
            _until(lambda: httpx.get(faults).json()["faults"] == [])
            _append(code / "functions" / "create_order" / "main.py", 'print("a line of new code")')
            stack.until("starting create_order again")
            assert order.result().status_code == 201, order.result().text

        stack.until("a line of new code")
        stack.until("create_order is back")
        assert not any("does not stop" in line for line in stack.lines)

    def test_a_changed_door_starts_again_and_no_other(self, stack: Launched, code: Path) -> None:
        before = {name: stack.pid_of(name) for name in DOORS}

        _append(code / "functions" / "account" / "main.py", 'print("the account of now")')
        stack.until("the account of now")
        stack.until("account is back")

        assert {name for name in DOORS if stack.pid_of(name) != before[name]} == {"account"}

    def test_a_change_that_breaks_a_door_leaves_it_down_until_the_next_change(
        self, stack: Launched, code: Path
    ) -> None:
        path = code / "functions" / "refund" / "main.py"
        text = path.read_text()

        path.write_text(text + "this is no Python\n")
        stack.until("refund stays down until one of its files changes")
        assert any("SyntaxError" in line for line in stack.lines)

        path.write_text(text)
        stack.until("refund is back")

    def test_a_change_of_shared_code_starts_all_doors_and_workers_again(
        self, stack: Launched, code: Path
    ) -> None:
        before = {name: stack.pid_of(name) for name in DOORS}
        back = {name: sum(f"{name} is back" in line for line in stack.lines) for name in (*DOORS, *WORKERS)}

        _append(code / "shared_lib" / "domain" / "money.py", "# a comment")
        for name, times in back.items():
            stack.until(f"{name} is back", times + 1)

        assert [name for name in DOORS if stack.pid_of(name) == before[name]] == []
        running = json.loads((stack.data / "running.json").read_text())
        assert httpx.get(f"{running['doors']['account']}/readyz").is_success


def _append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}{line}\n")


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
