"""Start a server that ends with its parent: after SIGKILL of the parent, no orphan keeps a port or a data folder.

Run as a script, this file is the step between fork and exec: it asks the kernel for a signal on the parent's death,
drops root when `owner` is given, and replaces itself with the server. It imports the standard library only, because it
runs without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

PR_SET_PDEATHSIG = 1


class Owner(NamedTuple):
    """The user a server runs as."""

    uid: int
    gid: int


def spawn(
    argv: Sequence[str | Path],
    *,
    output: IO[bytes] | int,
    owner: Owner | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    last_signal: signal.Signals = signal.SIGTERM,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, so that Ctrl-C reaches the caller only.

    Its stdout and stderr go to `output`. With `owner`, it drops root for that user. When the calling process dies
    without stopping it, the kernel sends it `last_signal` (Linux only; and only when called from the main thread,
    because the kernel watches the thread that forked).
    """
    watched = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
    leash = [sys.executable, "-I", "-S", __file__]
    orders = [
        str(int(last_signal)) if watched else "0",
        str(os.getpid()),
        f"{owner.uid}:{owner.gid}" if owner else "-",
    ]
    return subprocess.Popen(
        [*leash, *orders, *map(str, argv)],
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=None if env is None else dict(env),
        cwd=cwd,
    )


def become(last_signal: int, parent_pid: int, owner: Owner | None, argv: Sequence[str]) -> None:
    """Replace this process by `argv`. Does not return."""
    if owner is not None:
        os.setgroups([])
        os.setgid(owner.gid)
        os.setuid(owner.uid)
    if last_signal:  # After setuid, which clears this setting.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, last_signal)
        if os.getppid() != parent_pid:  # The parent died before prctl took effect.
            sys.exit(1)
    os.execv(argv[0], list(argv))


if __name__ == "__main__":
    signal_text, parent_text, owner_text, *command = sys.argv[1:]
    uid, _, gid = owner_text.partition(":")
    become(int(signal_text), int(parent_text), Owner(int(uid), int(gid)) if gid else None, command)
