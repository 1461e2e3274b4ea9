"""Remove each protection in a copy of the last commit and see its test turn red.

    python -m tests.crash.mutations            # all; it takes long, so name groups
    python -m tests.crash.mutations W4 W13     # those of some windows; T: the trigger's, O: of offers, E: of events, B: bounds, F: foreign answers, M: money
    python -m tests.crash.mutations R10 R11    # of bad rows; X: the edge, P: privileges, D: how doors start and stop, K: kind's stages, H: the relay's floor

A green test under a removed protection is a hole in the tests: the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kit.mutations import ROOT, Mutation, all_mutations

MUTATIONS = all_mutations()
TESTS_TIMEOUT_S = 300
# Many a removal is seen by a wait that ends in vain. The run with every protection in place has the same bound, and so shows when it is too short.
PATIENCE_S = "20"


def copy_of_the_last_commit(home: Path) -> Path:
    archive, tree = home / "tree.tar", home / "tree"
    tree.mkdir()
    subprocess.run(["git", "archive", "--output", archive, "HEAD"], cwd=ROOT, check=True)
    subprocess.run(["tar", "-x", "-f", archive, "-C", tree], check=True)
    return tree


def failure(tree: Path, *tests: str) -> str | None:
    """The first failure of the tests in this copy, None when they pass. Raises RuntimeError when they did not run at all."""
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    given = {"TEST_PATIENCE_S": PATIENCE_S, "COLUMNS": "200"} | os.environ
    try:
        done = subprocess.run(
            argv,
            cwd=tree,
            env=given | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=TESTS_TIMEOUT_S * len(tests),
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return str(error.timeout) + " s were not enough"
    lines = done.stdout.splitlines() or [""]
    if done.returncode not in (0, 1) or (" error" in lines[-1] and " failed" not in lines[-1]):
        raise RuntimeError(f"{tests} did not run:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    if not done.returncode:
        return None
    return next((line for line in lines if line.startswith("FAILED ")), lines[-1])


def seen(tree: Path, mutation: Mutation) -> str | None:
    """The failure that shows the removal, None when its test stays green."""
    before = {tree / edit.file: (tree / edit.file).read_text() for edit in mutation.edits}
    try:
        for edit in mutation.edits:
            text = (tree / edit.file).read_text()
            if edit.old not in text:
                raise RuntimeError(f"{mutation.window}: {edit.file} has no {edit.old!r} any more")
            (tree / edit.file).write_text(text.replace(edit.old, edit.new, 1))
        return failure(tree, mutation.test)
    finally:
        for path, text in before.items():
            path.write_text(text)


def named_groups(arguments: list[str] | None) -> list[str]:
    """The groups to remove; none named: all of them. Ends the process for --help, and for a group that no mutation has."""
    groups = list(dict.fromkeys(mutation.window for mutation in MUTATIONS))
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.mutations",
        description=__doc__,
        epilog="Groups: " + " ".join(groups),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help="a window or another group; all without one"
    )
    named: list[str] = parser.parse_args(arguments).groups
    if unknown := [group for group in named if group not in groups]:
        parser.error(f"no mutation is of {', '.join(unknown)}; groups are: {' '.join(groups)}")
    return named


def main(arguments: list[str] | None = None) -> int:
    windows = named_groups(arguments)
    holes = 0
    home = Path(tempfile.mkdtemp(prefix="boxoffice-mutations-"))
    try:
        tree = copy_of_the_last_commit(home)
        chosen = [it for it in MUTATIONS if not windows or it.window in windows]
        if met := failure(tree, *dict.fromkeys(it.test for it in chosen)):
            print(f"fails with every protection in place: mend that first\n{met}")
            return 1
        for mutation in chosen:
            began = time.perf_counter()
            try:
                red = seen(tree, mutation)
                verdict = "red  " if red else "GREEN"
            except RuntimeError as error:
                red, verdict = None, f"BROKEN {error}\n"
            holes += not red
            took = f"({time.perf_counter() - began:.0f} s)"
            print(f"{verdict} {mutation.window:4} {mutation.removed}  {took}", flush=True)
            if red:
                print(f"      {red}", flush=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print("every protection is needed, and its test says so" if not holes else f"{holes} without a red test")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
