"""Kill each container in turn under a load of orders, start it again, and count.

python3 -m infra.drill [NAME...] [--rate 10] [--down-s 3]

Needs Docker alone, like infra.compose. `python3 -m infra.kubernetes kills` does the same with pods.
"""

from __future__ import annotations

import os
import sys

from infra.compose import up
from infra.compose.docker import DockerError
from infra.drill.containers import kills
from infra.drill.rounds import DrillError
from shared_lib.visible import say


def main(arguments: list[str]) -> int:
    os.environ.setdefault("BOXOFFICE_PUBLIC_URL", up.address())
    try:
        return kills(arguments)
    except (DockerError, DrillError) as error:
        say(error, sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
