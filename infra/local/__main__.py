"""The local stack.

    python -m infra.local up   [--data DIR] [--reload]   start everything, show what happens, stop on Ctrl-C
    python -m infra.local demo [--data DIR]              play the whole story on it and count the money

DATABASE_URL and REDIS_URL replace the embedded servers.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from infra.local.console import Console
from infra.local.home import Home
from infra.local.processes import StackError
from shared_lib.visible import say


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="infra.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["up", "demo"])
    parser.add_argument(
        "--data", type=Path, default=Path(".local"), help="folder for everything that is kept"
    )
    parser.add_argument(
        "--reload",
        action="store_true",
        help="up: a change of functions/NAME/ starts that function again,"
        " one of shared_lib/ all functions and workers, one of infra/sandbox/ or infra/standins/ those stand-ins",
    )
    options = parser.parse_args(arguments)
    if options.reload and options.what != "up":
        parser.error("--reload belongs to `up`")
    home = Home(options.data)
    try:
        return asyncio.run(_until_stopped(options.what, home, reloads=options.reload))
    except StackError as error:
        say(error, sys.stderr)
        return 1


async def _until_stopped(what: str, home: Home, *, reloads: bool) -> int:
    """SIGINT and SIGTERM cancel what runs, which then cleans up."""
    from infra.demo import demo  # noqa: PLC0415  # --help need not wait for them
    from infra.local import up  # noqa: PLC0415  # --help need not wait for them

    console = Console(home.logs, quiet=what == "demo")
    task = asyncio.ensure_future(
        up.up(home, console, reloads=reloads) if what == "up" else demo.demo(home, console)
    )
    loop = asyncio.get_running_loop()
    stopped: list[signal.Signals] = []

    def stop(how: signal.Signals) -> None:
        if not stopped:  # cleaning up is not to be interrupted: it ends within seconds
            stopped.append(how)
            task.cancel()

    for how in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(how, stop, how)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        console.say("Stopped. What was done is kept in " + str(home.folder))
        return 0 if what == "up" else 128 + stopped[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
