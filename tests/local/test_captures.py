"""The pictures of the terminal in the docs are of commands as they are now: `make captures` writes them again."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import pytest

from infra.demo.demo import next_steps
from infra.demo.screen import Screen
from infra.local.home import Running
from infra.local.up import welcome

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
NAMES = ("make", "make-up", "make-demo", "explain-kim", "explain-dan")
TEXT = "{http://www.w3.org/2000/svg}text"
HERE = "http://127.0.0.1:8100"


def shown(name: str) -> list[str]:
    """The lines of a picture, without the empty one that keeps its last line whole."""
    parts: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for text in ET.parse(IMAGES / f"{name}.svg").iter(TEXT):  # noqa: S314  # our own file
        if line := re.search(r"-line-(\d+)\)$", text.get("clip-path", "")):
            parts[int(line[1])].append((float(text.get("x", "0")), text.text or ""))
    rows = ["".join(part for _, part in sorted(parts[n])) for n in range(max(parts) + 1)]
    return "\n".join(row.replace("\xa0", " ").rstrip() for row in rows).rstrip("\n").split("\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_shows_targets_that_exist_and_nothing_of_one_machine(name: str) -> None:
    text = "\n".join(shown(name))
    targets = set(re.findall(r"\bmake ([a-z_]+)\b", text)) - {"up_all"}
    known = set(re.findall(r"^([a-z0-9_-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets <= known
    assert str(ROOT) not in text
    assert f"images/{name}.svg" in "".join(
        page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    )


def test_make_prints_what_its_picture_shows() -> None:
    with Screen(["bash", "-c", f"cd {ROOT} && make"], 100) as screen:
        screen.ends(60.0)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.text).rstrip().splitlines()
    assert shown("make")[1:] == [line.rstrip() for line in lines], "run make captures ARGS=make"


def test_the_picture_of_up_shows_its_summary_and_the_log() -> None:
    running = Running(pid=1, gateway=HERE, auth=HERE, sandbox=HERE, mail=HERE, database_url="", doors={})
    wanted = [line for line in welcome(running, Path(".local/customer.token")) if "Provider" not in line]
    lines = [re.sub(r"http://127\.0\.0\.1:\d+", HERE, line) for line in shown("make-up")]
    assert [line for line in wanted if line not in lines] == [], "run make captures"
    assert any("POST /v1/webhooks/sandbox 200" in line for line in lines)


def test_the_picture_of_the_demo_ends_with_what_to_do_next() -> None:
    assert shown("make-demo")[-len(next_steps()) :] == next_steps(), "run make captures"


def test_the_pictures_of_explain_show_a_refund_and_a_grace() -> None:
    kim, dan = "\n".join(shown("explain-kim")), "\n".join(shown("explain-dan"))
    assert "refund requested" in kim
    assert "may NOT be watched" in kim
    assert "in grace" in dan
    assert "next retry" in dan
