"""Boxoffice in containers. Needs Docker alone, no virtualenv.

python3 -m infra.compose up               build, start, wait until all are healthy
python3 -m infra.compose down [-v]        stop; -v also deletes the data
python3 -m infra.compose demo             play the whole story on it and compare the money
python3 -m infra.compose logs [SERVICE]   follow the logs, one readable line per event
python3 -m infra.compose mails [NUMBER]   read what was mailed; --customer bob: to bob
python3 -m infra.compose cli ...          the operator's command line: explain ord_..., lag, dead-letters
python3 -m infra.compose db               psql, read-only; ROLE=owner: as that role
python3 -m infra.compose token CUSTOMER   a token of the Auth stand-in
python3 -m infra.compose secrets          make the env files, as `up` does

`python3 -m infra.drill` kills each container in turn.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from infra.compose import env_files, look, up
from infra.compose.docker import DockerError, run
from shared_lib.visible import say

# Commands of Compose that need nothing but their arguments. All but `down` ask the running stack.
PASSED_ON: Final = {
    "down": ["--profile", "demo", "--profile", "cli", "--profile", "tunnel", "down", "--remove-orphans"],
    "demo": ["run", "--rm", "demo"],
    "cli": ["run", "--rm", "cli"],
    "db": ["exec", "postgres", "psql", "-d", "boxoffice", "-U"],
}
# Commands of our own on the running stack.
LOOKS: Final = {"logs": look.logs, "mails": look.mails, "token": look.token}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="infra.compose", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["up", *PASSED_ON, *LOOKS, "secrets", "running"])
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    os.environ.setdefault("BOXOFFICE_PUBLIC_URL", up.address())
    try:
        return _do(options.what, options.rest)
    except DockerError as error:
        say(error, sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _do(what: str, rest: list[str]) -> int:
    if what == "up":
        up.up()
    elif what == "secrets":
        env_files.make()
    elif what == "running":
        return 0 if up.is_running() else 1
    elif what in LOOKS:
        up.need_running()
        return LOOKS[what](rest)
    else:
        if what == "down":
            env_files.make()  # Compose reads them even to stop
        else:
            up.need_running()
        command, *arguments = PASSED_ON[what]
        if what == "db":  # the role support reads everything and changes nothing
            rest = [f"boxoffice_{os.environ.get('ROLE') or 'support'}", *rest]
        # In a script or a pipe there is no terminal, and Compose would refuse to run without -T.
        no_terminal = (
            ["-T"] if command in ("exec", "run") and not (sys.stdin.isatty() and sys.stdout.isatty()) else []
        )
        return run(command, *no_terminal, *arguments, *rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
