"""What the local stack shows: one line per event, seconds while one waits, colors on a terminal alone, and errors without make's noise."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from infra.demo.demo import next_steps
from infra.local.console import Console
from infra.local.home import Running
from infra.local.logs import LogFile, follow
from infra.local.processes import StackError
from infra.local.progress import Progress
from infra.local.up import days_ahead, welcome
from tests.kit.clock import ADVANCE
from tests.kit.waiting import PATIENCE_S
from tests.local.terminal import COLUMNS, ROWS, on_terminal

ROOT = Path(__file__).parents[2]
TICK = {
    "function": "renew",
    "type": "billing.tick.renewal",
    "outcome": "done",
    "event": "event",
    "level": "info",
}
CALL = {
    "method": "POST", "path": "/v1/orders", "status": 201, "ms": 9.5, "request_id": "0123456789", "scope": "billing:customer",
    "client": None, "order": "ord_1", "event": "request", "level": "info",
}  # fmt: skip
REDIS = "123:M 28 Nov 2026 23:51:03.137 * Ready to accept connections"


def log_line(entry: Mapping[str, object], at: str) -> str:
    return json.dumps({**entry, "timestamp": f"2026-11-28T{at}.000000Z"}) + "\n"


def test_logs_are_one_line_per_event_in_the_order_of_their_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "renew.log").write_text(log_line(TICK, "10:00:01") * 50)
    (tmp_path / "webhook.log").write_text(log_line(CALL | {"path": "/v1/webhooks/sandbox"}, "10:00:03"))
    (tmp_path / "create_order.log").write_text(log_line(CALL, "10:00:02") + "Traceback\n  of a bug\n")
    (tmp_path / "redis.log").write_text(REDIS + "\n")
    follow(tmp_path, Console(tmp_path), [], last=20, ends=True)
    assert capsys.readouterr().out.splitlines() == [
        "10:00:02 create_order POST /v1/orders 201 in 9.5 ms  order=ord_1",
        "10:00:02 create_order Traceback",
        "10:00:02 create_order   of a bug",
        "10:00:03 webhook      POST /v1/webhooks/sandbox 201 in 9.5 ms  order=ord_1",
    ]
    follow(tmp_path, Console(tmp_path), ["webhook"], last=20, ends=True)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_logs_that_are_missing_are_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make up"):
        follow(tmp_path, Console(tmp_path), [], last=20, ends=True)
    (tmp_path / "relay.log").touch()
    with pytest.raises(StackError, match=r"no log of webhok\. There are: relay"):
        follow(tmp_path, Console(tmp_path), ["webhok"], last=20, ends=True)


def test_a_log_is_read_on_from_where_it_was_also_after_it_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "relay.log"
    path.write_text("one\ntwo\nhal")
    log = LogFile(path)
    assert log.tail() == ["one", "two"]
    with path.open("a") as file:
        file.write("f\nthree\n")
    assert log.added() == ["half", "three"]
    path.rename(tmp_path / "relay.log.1")
    assert log.added() == []
    path.write_text("new\n")
    assert log.added() == ["new"]


def test_off_a_terminal_nothing_is_colored_or_erased_and_short_waits_are_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(tmp_path)
    with Progress(console, "Starting") as progress:
        progress.step("PostgreSQL")
        console.warn("careful")
    console.line("relay", log_line(CALL | {"level": "error"}, "10:00:00"))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "PostgreSQL" not in shown


def test_a_long_wait_off_a_terminal_is_a_line_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.progress.QUIET_S", 0.0)
    said = threading.Event()
    console = Console(tmp_path)
    console.say = lambda text="": said.set() if "PostgreSQL" in text else None  # type: ignore[method-assign]
    with Progress(console, "Starting") as progress:
        progress.step("PostgreSQL")
        assert said.wait(PATIENCE_S)


PROGRAM = """
import sys, time
from pathlib import Path
from infra.local.console import Console
from infra.local.progress import Progress
console = Console(Path("."))
with Progress(console, "Starting") as progress:
    progress.step("PostgreSQL, which takes long, " + "x" * 200)
    time.sleep(0.6)
    console.warn("a line of its own")
console.say("up")
"""


def test_on_a_terminal_the_line_of_a_wait_counts_and_leaves_nothing_behind() -> None:
    shown = on_terminal([sys.executable, "-c", PROGRAM])
    assert "\r\x1b[2KStarting   0 s  PostgreSQL" in shown
    lines = [line.rpartition("\x1b[2K")[2] for line in shown.split("\r\n")]
    assert lines == ["\x1b[33ma line of its own\x1b[0m", "up", ""]
    assert max(len(part) for part in re.split(r"[\r\n]+|\x1b\[2K", shown)) < COLUMNS
    assert "\x1b[33m" not in on_terminal([sys.executable, "-c", PROGRAM], NO_COLOR="1")


WAITING = """
from shared_lib.cli.terminal import waiting_for
from shared_lib.visible import say
with waiting_for("the provider"):
    pass
say("answered")
"""


def test_a_command_says_on_a_terminal_alone_what_it_waits_for() -> None:
    shown = on_terminal([sys.executable, "-c", WAITING], TERM="xterm")
    assert "Waiting for the provider" in shown
    assert shown.rpartition("\x1b[2K")[2].endswith("answered\r\n")
    elsewhere = subprocess.run(
        [sys.executable, "-c", WAITING], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (elsewhere.stdout, elsewhere.stderr) == ("answered\n", "")


LONG = """
import json
from datetime import datetime
from pathlib import Path
from infra.local.console import Console
entry = {"event": "request", "level": "info", "method": "POST", "path": "/v1/orders", "status": 201, "ms": 9.5}
entry |= {"actor": "ann", "order": "ord_" + "1" * 26, "payment": "pay_" + "2" * 26, "provider": "sandbox"}
Console(Path(".")).line("create_order", json.dumps(entry), datetime(2026, 11, 28, 10, 0, 2))
"""


def test_a_long_line_is_folded_between_its_words_on_a_terminal_alone() -> None:
    words = [
        "POST /v1/orders 201 in 9.5 ms  actor=ann",
        f"order=ord_{'1' * 26}",
        f"payment=pay_{'2' * 26}  provider=sandbox",
    ]
    shown = on_terminal([sys.executable, "-c", LONG], NO_COLOR="1").split("\r\n")
    assert shown == [f"10:00:02 create_order {words[0]}", " " * 22 + words[1], " " * 22 + words[2], ""]
    piped = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True, cwd=ROOT)
    assert piped.stdout == f"10:00:02 create_order {'  '.join(words)}\n"


def test_while_the_stack_starts_its_processes_are_quiet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(tmp_path)
    with console.starting():
        console.line("webhook", log_line({"event": "not_ready", "level": "warning"}, "10:00:00"))
    assert capsys.readouterr().out == ""
    console.line("webhook", log_line({"event": "not_ready", "level": "warning"}, "10:00:00"))
    assert "not_ready" in capsys.readouterr().out


def test_the_summary_of_up_and_the_end_of_the_demo_fit_a_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = "http://127.0.0.1:8100"
    running = Running(pid=1, gateway=here, auth=here, sandbox=here, mail=here, database_url="", doors={})
    monkeypatch.chdir(tmp_path)
    lines = welcome(running, tmp_path / ".local" / "customer.token", own=3, ahead=397)
    assert [line for line in lines if len(line) > COLUMNS] == []
    assert len(lines) + 3 <= ROWS  # with the line above, the line below, and the prompt
    assert "  Tokens    .local/customer.token (ann, a customer), operator.token (olga)" in lines
    assert [line for line in next_steps() if len(line) > COLUMNS] == []
    assert [line for line in lines if line.startswith("  Clock     397 days ahead")]
    targets = re.findall(r"make (\w+)", "\n".join([*lines, *next_steps()]))
    known = set(re.findall(r"^([a-z_]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(targets) <= known


def test_the_summary_knows_how_far_the_clock_was_moved(database_url: str) -> None:
    assert days_ahead(database_url) == 0
    with psycopg.connect(database_url) as db:
        db.execute(ADVANCE, [timedelta(days=3, hours=5)])
    assert days_ahead(database_url) == 3


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize(
    "command",
    ["mails", "mails CUSTOMER=bob", "token", "logs", "reset", "cli ARGS=doctor", "cli ARGS=explain"],
)
def test_an_error_says_what_to_do_and_make_adds_nothing(command: str, tmp_path: Path) -> None:
    done = made(command, tmp_path, "env", "--default-signal=INT")  # a script in the background ignores it
    said = done.stdout + done.stderr
    assert "make up" in said
    assert "***" not in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
    assert (done.returncode == 0) is (command == "reset")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_an_error_is_one_also_where_make_ignores_ctrl_c(tmp_path: Path) -> None:
    """As in a background job of a script, whose exit code is all that is left to tell success from failure."""
    done = made("cli ARGS=doctor", tmp_path, "env", "--ignore-signal=INT")
    assert "make up" in done.stderr
    assert done.returncode != 0


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_a_token_without_a_customer_is_refused_on_one_line(tmp_path: Path) -> None:
    done = made("token CUSTOMER=", tmp_path, "env", "--default-signal=INT")
    assert done.stderr == "CUSTOMER is empty. Name one: make token CUSTOMER=bob\n"
    assert done.returncode != 0


def made(command: str, folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """`make COMMAND` in a folder without a stack, with the Makefile and this Python, and no Docker that answers."""
    (folder / "docker").write_text("#!/bin/bash\nexit 1\n")
    (folder / "docker").chmod(0o755)
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    (folder / ".ci").symlink_to(ROOT / ".ci")
    (folder / "requirements-dev.lock").touch()
    os.utime(folder / "requirements-dev.lock", (0, 0))
    (folder / "ready").touch()
    own = {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{folder}:{os.environ['PATH']}",
        "MAKEFLAGS": "",
        "MAKELEVEL": "",
    }
    environment = {
        name: value for name, value in os.environ.items() if name != "BOXOFFICE_DATABASE_URL"
    } | own
    return subprocess.run(
        [*before, "make", *command.split(), "READY=ready", f"BIN={Path(sys.executable).parent}"],
        cwd=folder, capture_output=True, text=True, env=environment, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_the_seconds_of_a_wait_and_a_line_do_not_mix(tmp_path: Path) -> None:
    """The counting thread and the caller write whole lines: 200 of each."""
    program = PROGRAM.replace("time.sleep(0.6)", "[console.say(f'line {n}') for n in range(200)]").replace(
        "from infra.local.progress import Progress",
        "import infra.local.progress as p; p.REFRESH_S = 0.0005; from infra.local.progress import Progress",
    )
    shown = on_terminal([sys.executable, "-c", program])
    lines = [line.rpartition("\x1b[2K")[2] for line in shown.split("\r\n")]
    assert [line for line in lines if line.startswith("line ")] == [f"line {n}" for n in range(200)]
