"""A program on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
ROWS, COLUMNS = 24, 80


def on_terminal(argv: list[str], **more: str) -> str:
    """The output of a program whose standard output is a terminal of ROWS and COLUMNS."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(argv, stdout=its, stderr=its, cwd=ROOT, env=environment | more, close_fds=True)
    os.close(its)
    raw = b""
    try:
        while part := os.read(ours, 4096):
            raw += part
    except OSError:  # Linux reports the end of a terminal as an error
        pass
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0, raw
    return raw.decode()
