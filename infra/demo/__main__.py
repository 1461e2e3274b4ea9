"""Play the whole story on the local stack and compare the money.

    python -m infra.demo [--data DIR] [--provider NAME]

It starts a stack of its own, or plays on the one that already runs on the folder.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from infra.local.console import Console
from infra.local.faces import FACES, SANDBOX
from infra.local.home import Home, of_another_user
from infra.local.processes import StackError
from infra.local.until_stopped import until_stopped
from shared_lib.visible import say


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="infra.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(".local"), help="folder of the stack's data")
    parser.add_argument(
        "--provider",
        choices=(SANDBOX, *FACES),
        default=SANDBOX,
        help="who is paid, on a stack that this starts: as whom the sandbox speaks",
    )
    options = parser.parse_args(arguments)
    home = Home(options.data)
    console = Console(home.logs, quiet=True)
    console.status("Starting")
    try:
        return asyncio.run(_demo(home, console, options.provider))
    except StackError as error:
        console.forget_status()
        say(error, sys.stderr)
    except PermissionError as error:
        console.forget_status()
        say(of_another_user(home, error), sys.stderr)
    return 1


async def _demo(home: Home, console: Console, provider: str) -> int:
    from infra.demo.demo import demo  # noqa: PLC0415  # --help need not wait for it

    return await until_stopped(home, console, demo(home, console, provider), lambda how: 128 + how)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
