"""The local stack.

    python -m infra.local up [--reload]             start everything, show what happens, stop on Ctrl-C
    python -m infra.local token CUSTOMER [SCOPE]    a token of the Auth stand-in, by default with billing:customer
    python -m infra.local mails [NUMBER]            the mails that were sent, and the text of one
    python -m infra.local logs [PROCESS ...]        what the processes say, then what they add
    python -m infra.local cli ARGUMENT ...          the operator's command line, with the settings of the running stack
    python -m infra.local reset                     delete the data of a stopped stack

DATABASE_URL and REDIS_URL replace the embedded servers. BOXOFFICE_* of the environment and of .env are used, the environment's
first. `python -m infra.demo` plays the story on this stack.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from infra.local.console import Console
from infra.local.home import NOT_RUNNING, Home, Running, of_another_user
from infra.local.processes import StackError
from infra.local.until_stopped import until_stopped
from shared_lib.visible import say


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["cli"]:  # argparse would take options of the command line for its own
        from infra.local.command_line import cli  # noqa: PLC0415

        cli(Home(Path(".local")), arguments[1:])
    options = _parser().parse_args(arguments)
    home = Home(options.data)
    console = Console(home.logs)
    try:
        return int(options.do(home, console, options))
    except StackError as error:
        console.forget_status()
        say(error, sys.stderr)
    except PermissionError as error:
        console.forget_status()
        say(of_another_user(home, error), sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="infra.local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, default=Path(".local"), help="folder of the stack's data")
    data.add_argument("--env-file", type=Path, default=Path(".env"), help="file with settings of your own")
    what = parser.add_subparsers(required=True, metavar="WHAT")

    up = what.add_parser("up", parents=[data], help="start everything")
    up.add_argument(
        "--reload",
        action="store_true",
        help="a change of functions/NAME/ starts that function again,"
        " one of shared_lib/ all functions and workers (of shared_lib/contract/ also the gateway),"
        " one of infra/sandbox/ or infra/standins/ those stand-ins",
    )
    up.set_defaults(do=_up)
    token = what.add_parser("token", parents=[data], help="print a token")
    token.add_argument("customer")
    token.add_argument("scopes", nargs="*", default=["billing:customer"])
    token.set_defaults(do=_token)
    mails = what.add_parser("mails", parents=[data], help="read what was mailed")
    mails.add_argument("number", nargs="?", type=int, help="of the mail to read; the newest by default")
    mails.add_argument("--customer", help="only mails to this customer or address")
    mails.set_defaults(do=_mails)
    logs = what.add_parser("logs", parents=[data], help="follow the logs")
    logs.add_argument("names", nargs="*", metavar="PROCESS")
    logs.add_argument("-n", "--last", type=int, default=20, help="how many lines of the past to show")
    logs.add_argument("--no-follow", action="store_true", help="end after the lines of the past")
    logs.set_defaults(do=_logs)
    what.add_parser("reset", parents=[data], help="delete the data").set_defaults(do=_reset)
    return parser


# Imported when they are used: --help and a token need not wait for servers and drivers.
def _up(home: Home, console: Console, options: argparse.Namespace) -> int:
    from infra.local.own_settings import own_settings, servers_of  # noqa: PLC0415
    from infra.local.up import up  # noqa: PLC0415

    console.status("Starting")
    servers_of(options.env_file)
    own = own_settings(options.env_file, os.environ)
    run = up(home, console, own, reloads=options.reload)
    return asyncio.run(until_stopped(home, console, run, lambda _: 0))


def _token(home: Home, _: Console, options: argparse.Namespace) -> int:
    import httpx  # noqa: PLC0415

    from infra.local.tokens import token  # noqa: PLC0415

    running = _running(home)
    try:
        say(asyncio.run(token(running, options.customer, *options.scopes)))
    except httpx.HTTPError as error:
        raise StackError(f"The Auth stand-in does not answer at {running.auth}: {error}") from error
    return 0


def _mails(home: Home, console: Console, options: argparse.Namespace) -> int:
    import httpx  # noqa: PLC0415

    from infra.local.inbox import show  # noqa: PLC0415
    from infra.servers.moto import sent_mails  # noqa: PLC0415

    running = _running(home)
    try:
        sent = sent_mails(running.mail)
    except httpx.HTTPError as error:
        raise StackError(f"The mail service does not answer at {running.mail}: {error}") from error
    return 0 if show(console, sent, customer=options.customer, number=options.number) else 1


def _logs(home: Home, console: Console, options: argparse.Namespace) -> int:
    from infra.local.logs import follow_until_interrupted  # noqa: PLC0415

    return follow_until_interrupted(
        home.logs, console, options.names, last=options.last, ends=options.no_follow
    )


def _reset(home: Home, console: Console, options: argparse.Namespace) -> int:
    from infra.local.own_settings import servers_of  # noqa: PLC0415
    from infra.local.reset import reset  # noqa: PLC0415

    servers_of(options.env_file)
    reset(home, console)
    return 0


def _running(home: Home) -> Running:
    """The stack on this folder. StackError when none runs."""
    if (found := home.found()) is None:
        raise StackError(NOT_RUNNING)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
