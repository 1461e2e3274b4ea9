"""The first command on a fresh machine says how far the installation is, and what to do when it fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.kit.waiting import PATIENCE_S
from tests.local.terminal import on_terminal

INSTALL = Path(__file__).parents[2] / ".ci" / "install"
# What pip writes, in its order; installing and compiling takes it longer than anything else, without a word.
PIP = """#!{python}
import pathlib, sys, time
assert sys.argv[1:4] == ["-m", "pip", "install"], sys.argv
if sys.argv[-2:] == ["-e", "."]:
    print("  a warning of setuptools", flush=True)
    time.sleep({pause})
    sys.exit({own_code})
assert "--require-hashes" in sys.argv, sys.argv
print("Collecting anyio==4.1 (from -r requirements-dev.lock (line 1))", flush=True)
print("  Downloading anyio-4.1-py3-none-any.whl (90 kB)", flush=True)
print("Collecting babel==2.17 (from -r requirements-dev.lock (line 4))", flush=True)
time.sleep({pause})
if {code}:
    print("ERROR: Could not find a version that satisfies the requirement babel==2.17", flush=True)
    sys.exit({code})
pathlib.Path(r"{unpacked}").mkdir(parents=True)
print("Installing collected packages: anyio, babel", flush=True)
time.sleep({pause})
"""


def pip_that(folder: Path, code: int, pause: float = 0.0, own_code: int = 0) -> list[str]:
    """The command for a virtualenv whose pip ends with this code, after two pauses of so many seconds; with `own_code` for our code."""
    python, lock = folder / "bin" / "python", folder / "requirements-dev.lock"
    python.parent.mkdir()
    unpacked = folder / "lib" / "python3.11" / "site-packages" / "anyio-4.1.dist-info"
    python.write_text(
        PIP.format(python=sys.executable, code=code, own_code=own_code, pause=pause, unpacked=unpacked)
    )
    python.chmod(0o755)
    lock.write_text(
        "anyio==4.1 \\\n    --hash=sha256:aa\n    # via httpx==1\nbabel==2.17 \\\n    --hash=sha256:bb\n"
    )
    return [sys.executable, str(INSTALL), str(python), str(lock)]


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_an_installation_says_how_much_it_is_and_when_it_is_done(tmp_path: Path) -> None:
    done = run(pip_that(tmp_path, code=0))
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first.startswith("Installing 2 packages, pinned in requirements-dev.lock")
    assert re.fullmatch(r"Installed after \d+ s\.", last)


def test_an_installation_that_fails_shows_the_end_of_pips_output_and_what_to_do(tmp_path: Path) -> None:
    done = run(pip_that(tmp_path, code=1))
    assert done.returncode == 1
    assert "ERROR: Could not find a version that satisfies the requirement babel==2.17" in done.stderr
    assert done.stderr.rstrip().endswith("Run the same command again to go on.")


def test_pip_is_heard_about_our_own_code_only_when_that_fails(tmp_path: Path) -> None:
    (well := tmp_path / "well").mkdir()
    assert "a warning of setuptools" not in run(pip_that(well, code=0)).stdout
    done = run(pip_that(tmp_path, code=0, own_code=1))
    assert done.returncode == 1
    assert "a warning of setuptools" in done.stderr


def test_a_terminal_sees_the_packages_counted_while_they_arrive_and_while_they_are_unpacked(
    tmp_path: Path,
) -> None:
    shown = on_terminal(pip_that(tmp_path, code=0, pause=1.0))
    assert "2 of 2 packages, babel" in shown
    assert "unpacking, 1 of 2" in shown
    assert "the code of this folder" in shown
    lines = [line.rpartition("\x1b[2K")[2] for line in shown.split("\r\n")]
    assert [line.split()[0] for line in lines if line] == ["Installing", "Installed"]
