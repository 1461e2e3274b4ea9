"""The process: runs until SIGTERM; exit status 1 when it cannot continue, and its supervisor restarts it.

An exit is the safest repair: records that were not committed are delivered again.
"""

from __future__ import annotations

import os
import sys

from shared_lib.visible import say
from shared_lib.workers.trigger import health

PORT = "BOXOFFICE_TRIGGER_PORT"
PORT_UNSET = 8090


def check() -> int:
    well, says = health.ask(int(os.environ.get(PORT) or PORT_UNSET))
    say(says)
    return 0 if well else 1


def main() -> int:
    if sys.argv[1:] == ["--healthy"]:
        return check()
    from shared_lib.workers.trigger.process import run  # noqa: PLC0415  # a health check needs none of it

    return run()


if __name__ == "__main__":
    sys.exit(main())
