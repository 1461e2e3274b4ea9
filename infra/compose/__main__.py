"""Boxoffice in containers. Needs Docker and nothing else of ours: no virtualenv.

python3 -m infra.compose up               build, start, wait until all are healthy
python3 -m infra.compose down [-v]        stop; -v also forgets the data
python3 -m infra.compose demo             play the whole story on it and count the money
python3 -m infra.compose logs [SERVICE]   follow what it writes
python3 -m infra.compose cli ...          the operator's command line: explain ord_..., lag, dead-letters
python3 -m infra.compose db               psql, read-only; ROLE=owner: as that role
python3 -m infra.compose token CUSTOMER   a token of the Auth stand-in
python3 -m infra.compose secrets          make the env files, as `up` does
python3 -m infra.compose kills [NAME...]  kill each container in turn under a load of orders, and count
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from infra.compose import env_files, up
from infra.compose.docker import DockerError, compose, containers
from infra.drill import kills
from infra.drill.rounds import DrillError
from shared_lib.visible import say

# What is passed on to Compose as it stands.
PASSED_ON: Final = {
    "down": ["--profile", "demo", "--profile", "cli", "--profile", "tunnel", "down", "--remove-orphans"],
    "logs": ["logs", "--follow", "--tail=20"],
    "demo": ["run", "--rm", "demo"],
    "cli": ["run", "--rm", "cli"],
    "db": ["exec", "postgres", "psql", "-d", "boxoffice", "-U"],
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="infra.compose", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["up", *PASSED_ON, "token", "secrets", "kills", "running"])
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    os.environ.setdefault("BOXOFFICE_PUBLIC_URL", up.address())
    try:
        return _do(options.what, options.rest)
    except (DockerError, DrillError) as error:
        say(error, sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _do(what: str, rest: list[str]) -> int:
    if what == "up":
        up.up()
    elif what == "secrets":
        env_files.make()
    elif what == "token":
        say(up.token(rest[0] if rest else up.CUSTOMER, *(rest[1:] or ["billing:customer"])))
    elif what == "running":
        return 0 if (env_files.FOLDER / env_files.KEPT).exists() and containers() else 1
    elif what == "kills":
        return kills.kills(rest)
    else:
        env_files.make()  # Compose reads them even to stop
        command, *arguments = PASSED_ON[what]
        if what == "db":  # support looks at everything and changes nothing
            rest = [f"boxoffice_{os.environ.get('ROLE') or 'support'}", *rest]
        # From a script or a pipe there is no terminal to hand on, and Compose would refuse to go without one.
        mute = (
            ["-T"] if command in ("exec", "run") and not (sys.stdin.isatty() and sys.stdout.isatty()) else []
        )
        compose(command, *mute, *arguments, *rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
