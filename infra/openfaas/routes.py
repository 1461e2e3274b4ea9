"""Where relay, trigger and clock deliver events when the doors are functions of OpenFaaS.

python -m infra.openfaas.routes [http://gateway.openfaas:8080]
"""

from __future__ import annotations

import json
import sys
from typing import Final

from infra.nginx.doors import service
from shared_lib.contract.routes import EVENT_ROUTES
from shared_lib.visible import say

GATEWAY: Final = "http://gateway.openfaas:8080"


def routes(gateway: str = GATEWAY) -> dict[str, str]:
    """Event type or prefix -> address. The gateway takes /function/NAME off, so the door sees /events."""
    return {kind: f"{gateway.rstrip('/')}/function/{service(door)}" for kind, door in EVENT_ROUTES.items()}


if __name__ == "__main__":
    say(f"BOXOFFICE_EVENT_ROUTES={json.dumps(routes(*sys.argv[1:2]))}")
