"""Run the tests that a change touches, the nearest first.

    python -m tests.changed [--base main] [--steps N] [--list] [pytest's arguments]

What changed is what git finds between the merge base with --base and the working tree, files that git does not know yet included.
A test file is touched when it imports a changed module, directly or through others, or when

- a fixture that it uses imports one (fixtures of conftest.py and of plugins are found by name);
- it, or a helper it imports, writes the module's name in a string, as tests do that start `python -m ...`;
- it, or a helper it imports, names the changed file, for files that are not Python: SQL, templates, manifests, pages.

A change of pyproject.toml, a lock file or tests/conftest.py touches all tests. Tests are run in the order of their distance in
imports; --steps 1 keeps those that import a changed module themselves. What is left out is not proven: run `make test` before you
send a change.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from shared_lib.visible import say
from tests.kit.imports import ROOT, Imports, read_imports

TOUCHES_ALL: Final = frozenset(
    {"pyproject.toml", "requirements.lock", "requirements-dev.lock", "tests/conftest.py"}
)


def changed_files(base: str, root: Path = ROOT) -> list[str]:
    """Paths relative to the repository, sorted: what differs from the merge base with `base`, and what is not tracked."""
    since = _git(root, "merge-base", "HEAD", base)[0]
    different = _git(root, "diff", "--name-only", since)
    return sorted({*different, *_git(root, "ls-files", "--others", "--exclude-standard")})


def touched(changed: Iterable[str], imports: Imports) -> dict[str, int]:
    """Test file -> steps from it to the nearest changed file: 0 for a test file that changed, 1 for one that imports it."""
    paths = list(changed)
    if TOUCHES_ALL & set(paths):
        return dict.fromkeys(imports.tests.values(), 0)
    nodes = {node for path in paths for node in imports.nodes_of(path)}
    steps = imports.steps_to(nodes)
    near = {path: steps[module] for module, path in imports.tests.items() if module in steps}
    return dict(sorted(near.items(), key=lambda found: (found[1], found[0])))


def _git(root: Path, *arguments: str) -> list[str]:
    git = ["git", "-C", str(root), *arguments]
    return subprocess.run(git, check=True, capture_output=True, text=True).stdout.splitlines()


def _explain(paths: list[str], near: Mapping[str, int], total: int) -> None:
    say(f"{len(paths)} files changed; {len(near)} of {total} test files are touched.")
    for path, steps in near.items():
        say(f"  {steps}  {path}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tests.changed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="main", help="branch or commit to compare with (default: main)")
    parser.add_argument(
        "--steps", type=int, help="leave out tests that are further away than so many imports"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the test files with their steps, run nothing"
    )
    options, others = parser.parse_known_args(arguments)
    imports = read_imports()
    paths = changed_files(options.base)
    near = {
        path: steps
        for path, steps in touched(paths, imports).items()
        if options.steps is None or steps <= options.steps
    }
    _explain(paths, near, len(imports.tests))
    if options.list or not near:
        return 0
    ended = pytest.main([*near, *others])
    # On a machine without Kubernetes its tests are left out, and there may be no others.
    return 0 if ended == pytest.ExitCode.NO_TESTS_COLLECTED else int(ended)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
