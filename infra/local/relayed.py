"""Logs of a stack in containers or pods: the lines of another command, shown as the local stack shows its own. Standard library alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.local.console import Console, time_of

_ROUTINE = "Attaching to "  # Compose 1 begins with the names of all containers


def follow(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, named: Callable[[str], re.Match[str] | None]
) -> int:
    """Run the command and show each line until it ends; returns its exit code. `named` finds the groups `name` and `line` in a line.

    Ctrl-C and a closed pipe (`make logs | head`) end it without an error.
    """
    console = Console(cwd)
    with subprocess.Popen(
        command, env=env, cwd=cwd, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            for raw in process.stdout or ():
                line = raw.rstrip("\r\n")
                if found := named(line):
                    console.line(found["name"], found["line"], time_of(found["line"]))
                elif line and not line.startswith(_ROUTINE):
                    console.say(line)
        except KeyboardInterrupt:
            process.terminate()
            return 0
        except BrokenPipeError:
            process.terminate()
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # the interpreter flushes at its end
            return 0
    return process.returncode
