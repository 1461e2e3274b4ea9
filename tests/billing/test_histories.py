"""Random histories keep every promise about money and access; and they would notice if one were broken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.billing.histories import play_all
from tests.billing.planted import BUGS, Bug

ROOT = Path(__file__).parents[2]
# Enough for each planted bug to be found hundreds of times over.
ENOUGH = 20_000


def test_a_hundred_thousand_random_histories_keep_every_promise() -> None:
    """Money in is money out and money kept; no access without money, no money without access or return; all ends."""
    broken = play_all(100_000)
    assert broken is None, f"python -m tests.billing.histories --only {broken.seed}: {broken.promise}"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pure rooms with these histories. Nothing else is there, so nothing else is needed to decide."""
    here = tmp_path_factory.mktemp("room")
    for name in ("domain", "billing"):
        shutil.copytree(ROOT / "shared_lib" / name, here / "shared_lib" / name)
    for name in ("shared_lib/__init__.py", "shared_lib/ids.py", "tests/__init__.py"):
        (here / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, here / name)
    shutil.copytree(ROOT / "tests" / "billing", here / "tests" / "billing")
    return here


def _play(room: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-m", "tests.billing.histories", "--count", str(ENOUGH), "--workers", "1"],
        cwd=room,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: re.sub(r"\W+", "-", bug.name))
def test_a_planted_bug_is_found(room: Path, bug: Bug) -> None:
    path = room / "shared_lib" / bug.file
    right = path.read_text()
    assert right.count(bug.code) == 1, f"{bug.file} has changed: plant this bug elsewhere"
    path.write_text(right.replace(bug.code, bug.instead))
    try:
        played = _play(room)
    finally:
        path.write_text(right)
    assert played.returncode == 1, f"{ENOUGH} histories did not notice: {bug.name}\n{played.stderr}"
    assert "broke a promise: AssertionError" in played.stdout, played.stdout
