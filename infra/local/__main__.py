"""The local stack.

    python -m infra.local up [--data DIR] [--reload]   start everything, show what happens, stop on Ctrl-C

DATABASE_URL and REDIS_URL replace the embedded servers. `python -m infra.demo` plays the story on this stack.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from infra.local.console import Console
from infra.local.home import Home
from infra.local.processes import StackError
from infra.local.until_stopped import until_stopped
from shared_lib.visible import say


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="infra.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["up"])
    parser.add_argument("--data", type=Path, default=Path(".local"), help="folder of the stack's data")
    parser.add_argument(
        "--reload",
        action="store_true",
        help="a change of functions/NAME/ starts that function again,"
        " one of shared_lib/ all functions and workers (of shared_lib/contract/ also the gateway),"
        " one of infra/sandbox/ or infra/standins/ those stand-ins",
    )
    options = parser.parse_args(arguments)
    try:
        return asyncio.run(_up(Home(options.data), reloads=options.reload))
    except StackError as error:
        say(error, sys.stderr)
        return 1


async def _up(home: Home, *, reloads: bool) -> int:
    from infra.local import up  # noqa: PLC0415  # --help need not wait for it

    console = Console(home.logs)
    return await until_stopped(home, console, up.up(home, console, reloads=reloads), lambda _: 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
