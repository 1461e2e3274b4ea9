"""A machine with the tools that a test gives it, and nothing else on PATH. Each notes how it was called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._calls = folder / "calls"

    def has(self, name: str, script: str) -> None:
        """A tool that does what this shell script does."""
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>{self._calls}\n{script}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        """What was called since the last look, with its arguments."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return lines

    def run(self, *arguments: str, typed: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """python -m infra.kubernetes, with a kubeconfig that does not exist and `typed` on standard input."""
        own = {"PATH": str(self.folder), "K8S_BIN": "", "K8S_KUBECONFIG": str(self.folder / "kubeconfig")}
        return subprocess.run(
            [sys.executable, "-m", "infra.kubernetes", *arguments],
            cwd=ROOT,
            env=os.environ | own | env,
            input=typed,
            text=True,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
