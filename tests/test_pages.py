"""Every link of every page leads to a file and a heading that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for top in ("docs", "examples", "infra", "k8s") for page in ROOT.glob(f"{top}/**/*.md")),
    ]
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for place, anchor in LINK.findall(CODE.sub("", page.read_text())):
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(f"{place}#{anchor}" if anchor else place)
    assert lost == []


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = HEADING.findall(re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_architecture_names_every_room_and_only_what_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {
        f"{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}"
        for top in ("shared_lib", "infra")
        for path in (ROOT / top).iterdir()
        if (path.is_dir() and any(path.iterdir()) and path.name != "__pycache__")
        or (path.suffix == ".py" and path.stem != "__init__")
    }
    values = set(re.findall(r"`(\w+)`", next(line for line in page.splitlines() if "` values |" in line)))

    named = set(re.findall(r"`((?:shared_lib|infra)/[\w/]+(?:\.py|/))`", page))
    assert {room for room in rooms if room not in named and Path(room).stem not in values} == set()
    assert {place for place in named if not (ROOT / place).exists()} == set()


def test_the_table_of_doors_names_functions_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page[page.index("| Door (`functions/`)") : page.index("## The rooms")]
    code = "".join(
        path.read_text()
        for room in ("phases", "providers", "asking")
        for path in (ROOT / "shared_lib" / room).rglob("*.py")
    )
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:] if line.startswith("|")]

    assert {row[0].strip(" `") for row in rows} == {
        path.parent.name for path in ROOT.glob("functions/*/main.py")
    }
    called = {name for row in rows for cell in row[2:] for name in re.findall(r"`(\w+)`", cell)}
    assert len(called) > 15
    assert {name for name in called if not re.search(rf"def {name}\b", code)} == set()
