"""What reaches a terminal: it interprets no control character that a customer, a provider or an event wrote."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from pathlib import Path

import pytest

from infra.local.console import Console
from shared_lib.cli import main as command_line
from shared_lib.cli.terminal import rendered, table
from shared_lib.visible import on_one_line, say, visible
from tests.kit.cinema import Cinema

# Moves the cursor, sets the title, hides what follows, in C0 and in C1; turns the reading direction; ends the line.
NASTY = "good\x1b[2J\x1b]0;title\x07\x1b[8m\x9b31mdear\u202etxt.exe\u2066a\u2028b\x7f\x08\x08\rno\u200bnot"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def test_every_control_character_is_written_out() -> None:
    everything = "".join(map(chr, range(0x11000))) + "\U000e0001\U000e0061\U0001f3ac"
    assert not OBEYED.search(visible(everything))
    assert visible("a\x1b\x9b\u202e\ud800\r\n\tb") == "a\\x1b\\x9b\\u202e\\ud800\\r\n\tb"
    assert on_one_line("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"
    kept = "Amélie 中文 עברית 🎬 — “quoted”"
    assert (visible(kept), on_one_line(kept)) == (kept, kept)


def test_a_table_stays_a_table_whatever_its_cells_say() -> None:
    lines = rendered([table(("id", "says"), [("ord_1", NASTY), ("ord_2", "a\nord_3  forged")])]).split("\n")
    assert len(lines) == 3
    assert not OBEYED.search("".join(lines))


def test_a_terminal_that_cannot_show_a_character_loses_none() -> None:
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, "ascii")
    say("Amélie \U0001f3ac", terminal)
    assert raw.getvalue() == b"Am\\xe9lie \\U0001f3ac\n"


async def test_a_refunds_reason_moves_no_operators_cursor(
    cinema: Cinema, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    with cinema.db() as db:
        db.execute("UPDATE orders SET product_title = %s WHERE id = %s", [NASTY, order["id"]])
        db.execute("UPDATE customers SET email = %s", ["a@b.example\n\x1b[2Jx"])
    answer = await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "because"})
    assert answer.status_code in (201, 202), answer.text
    # Beside the loop: the webhook about the refund may hold its row, and needs the loop to let go of it.
    await asyncio.to_thread(cinema.rows, "UPDATE refunds SET reason = %s RETURNING id", NASTY)
    await asyncio.to_thread(cinema.rows, "UPDATE products SET title = %s RETURNING id", NASTY)
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", cinema.database_url)
    capsys.readouterr()
    for arguments in (
        ["explain", order["id"]],
        ["catalog", "list"],
        ["explain", f"ord_{NASTY}"],
        ["catalog", "retire", NASTY],
    ):
        command_line.main(arguments)
        written = capsys.readouterr()
        shown = written.out + written.err
        assert "good\\x1b[2J" in shown or "good" not in shown, shown
        assert not OBEYED.search(shown), shown


def test_the_console_of_the_local_stack_keeps_its_own_colors_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(tmp_path)
    console._colored = True
    console.say(console.bold(f"title {NASTY}"))
    console.warn(NASTY)
    console.line("webhook", json.dumps({"event": "refund", "level": "error", "reason": NASTY}))
    console.line("webhook", f"plain {NASTY}")
    shown = capsys.readouterr().out
    assert not OBEYED.search(re.sub(r"\x1b\[\d+m", "", shown))
    assert not re.search(r"\x1b\[8m|\x1b\[2J|\x1b\]", shown)
    assert "\x1b[1mtitle good" in shown


def test_everything_is_said_through_one_function() -> None:
    """Ruff's T201 keeps print() away; this keeps its detours away."""
    root = Path(command_line.__file__).parents[2]
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for room in ("shared_lib", "infra", "functions")
        for path in (root / room).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"\b(stdout|stderr|__stdout__)\.write|# noqa:.*T201|os\.write\(1", line)
    ]
    allowed = {
        "infra/sandbox/"
    }  # the simulated provider shares no code with us, and prints its own address alone
    assert [line for line in found if not line.startswith(tuple(allowed))] == []
    assert sys.stdout is not None
