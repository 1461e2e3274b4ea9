"""The first command on another system, or with another Python, says on one line what to do, and installs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
CHOOSE = ROOT / ".ci" / "python"
# A Python that changes something about itself before it runs the program after -c. The script has to find out about it.
STRANGE = """#!/bin/sh
exec {python} -c '
import importlib.util, os, sys, sysconfig
from types import SimpleNamespace
def none(*_): return None
def unknown(_): raise ValueError("unrecognized configuration name")
{change}
program = sys.argv[2]
sys.argv[1:] = sys.argv[3:]
exec(program, {{}})
' "$@"
"""
USUAL = '#!/bin/sh\nexec {python} "$@"\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The only folder of PATH. It has bash, and a uname that says Linux and x86_64."""
    folder = tmp_path / "bin"
    folder.mkdir()
    bash = shutil.which("bash")
    assert bash
    (folder / "bash").symlink_to(bash)
    is_called(folder, "Linux", "x86_64")
    return folder


def is_called(folder: Path, system: str, machine: str) -> None:
    write(folder / "uname", f'#!/bin/sh\n[ "$1" = -m ] && echo {machine} || echo {system}\n')


def write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def has_python(folder: Path, name: str, change: str | None = None) -> None:
    """This Python under a name, changed by a statement."""
    text = USUAL if change is None else STRANGE
    write(folder / name, text.format(python=sys.executable, change=change))


def choose(machine: Path, *arguments: str, python: str = "") -> tuple[int, list[str]]:
    """The exit code and the lines of .ci/python."""
    done = subprocess.run(
        [CHOOSE, *arguments],
        env={"PATH": str(machine), "PYTHON": python},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    ("system", "machine_name", "says"),
    [
        ("Darwin", "arm64", "this is macOS. With Docker: make up_all, then make demo TARGET=compose"),
        (
            "MINGW64_NT-10.0-22631",
            "x86_64",
            "this is Windows. Clone and run it inside WSL 2 (wsl --install).",
        ),
        ("FreeBSD", "amd64", "this is FreeBSD. With Docker: make up_all, then make demo TARGET=compose"),
        ("Linux", "armv7l", "run on x86-64 and arm64, and this is armv7l."),
    ],
)
def test_another_system_is_named_with_what_to_do(
    machine: Path, system: str, machine_name: str, says: str
) -> None:
    has_python(machine, "python3")
    is_called(machine, system, machine_name)

    code, (line,) = choose(machine, "--virtualenv", "never-made")

    assert code == 1
    assert line.endswith(says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "sys.version_info = (3, 10, 13)",
            (
                "Python 3.11 to 3.14 is needed, and python3 is Python 3.10.13, too old. "
                "Name another: make PYTHON=/path/to/python3.12 demo"
            ),
        ),
        (
            "sys.version_info = (3, 15, 0)",
            (
                "Python 3.11 to 3.14 is needed, and python3 is Python 3.15.0, newer than the wheels of what is pinned. "
                "Name another: make PYTHON=/path/to/python3.12 demo"
            ),
        ),
        (
            'sys.version_info = (3, 12, 1); sys.implementation = SimpleNamespace(name="pypy")',
            "not a usual 64-bit CPython, and wheels exist for that alone. Name another: make PYTHON=/path/to/python3.12 demo",
        ),
        (
            "os.confstr = unknown",
            "built without glibc. With Docker: make up_all, then make demo TARGET=compose",
        ),
        (
            'os.confstr = lambda _: "glibc 2.27"',
            "on glibc 2.27, and wheels need 2.28 or newer. With Docker: make up_all, then make demo TARGET=compose",
        ),
        (
            "sys.version_info = (3, 12, 1); importlib.util.find_spec = none",
            "python3 is Python 3.12.1, without venv: apt-get install python3.12-venv",
        ),
    ],
)
def test_a_python_that_will_not_do_is_named_with_what_to_do(machine: Path, change: str, says: str) -> None:
    has_python(machine, "python3", change)

    code, (line,) = choose(machine, "--check")

    assert code == 1
    assert line.endswith(says)


def test_without_any_python_the_line_says_how_to_get_one(machine: Path) -> None:
    assert choose(machine, "--check") == (
        1,
        [
            (
                "Python 3.11 to 3.14 is needed, and none is here. "
                "Debian and Ubuntu: apt-get install python3 python3-venv"
            )
        ],
    )


def test_a_newer_python_beside_one_that_is_too_old_is_found(machine: Path) -> None:
    has_python(machine, "python3", "sys.version_info = (3, 9, 18)")
    write(machine / "python3.11", "#!/bin/sh\nexit 127\n")  # pyenv names versions that it does not run
    has_python(machine, "python3.12")

    assert choose(machine, "--check") == (0, [])
    assert choose(machine, "-c", "import sys; print(sys.argv)", "up") == (0, ["['-c', 'up']"])


def test_one_that_only_lacks_venv_is_named_before_one_that_is_too_old(machine: Path) -> None:
    has_python(machine, "python3", "sys.version_info = (3, 10, 12)")
    has_python(machine, "python3.12", "sys.version_info = (3, 12, 3); importlib.util.find_spec = none")

    assert choose(machine, "--check") == (
        1,
        ["python3.12 is Python 3.12.3, without venv: apt-get install python3.12-venv"],
    )


def test_the_named_python_is_taken_or_refused(machine: Path) -> None:
    has_python(machine, "python3", "sys.version_info = (3, 10, 13)")
    has_python(machine, "mine")

    assert choose(machine, "--check", python="mine") == (0, [])
    code, (line,) = choose(machine, "--check", python="/no/such/python")
    assert (code, line.split(" is ")[0]) == (1, "/no/such/python")


def test_containers_need_no_wheel(machine: Path) -> None:
    """On macOS, on any processor and with a new Python; one that is too old is refused there as well."""
    is_called(machine, "Darwin", "arm64")
    has_python(machine, "python3", "sys.version_info = (3, 15, 0); os.confstr = unknown")
    assert choose(machine, "-c", "print('ran')") == (0, ["ran"])

    has_python(machine, "python3", "sys.version_info = (3, 9, 6)")
    assert choose(machine, "-m", "infra.compose", "up") == (
        1,
        [
            (
                "Python 3.11 or newer is needed, and python3 is Python 3.9.6, too old. "
                "Name another: make PYTHON=/path/to/python3.12 demo"
            )
        ],
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_says_that_line_alone_and_leaves_nothing(tmp_path: Path, machine: Path) -> None:
    is_called(machine, "Darwin", "arm64")
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("Makefile", "requirements-dev.lock", ".ci"):
        (clone / name).symlink_to(ROOT / name)
    environment = os.environ | {"PATH": f"{machine}:{os.environ['PATH']}", "MAKEFLAGS": "", "MAKELEVEL": ""}

    done = subprocess.run(
        ["env", "--default-signal=INT", "make", "demo"],  # a script in the background ignores it
        cwd=clone, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert (done.stdout + done.stderr).splitlines() == [
        (
            "The local stack and the tests run on Linux, and this is macOS. "
            "With Docker: make up_all, then make demo TARGET=compose"
        )
    ]
    assert not (clone / ".venv").exists()
