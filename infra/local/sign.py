"""Headers that prove an event's sender, for curl: `python -m infra.local.sign BODY HEADER... | curl -H @- -d BODY ...`

The secret is that of BOXOFFICE_EVENT_SECRETS.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

from shared_lib.events.proof import EventSigner
from shared_lib.visible import say


def signed(body: str, *given: str) -> str:
    """The given headers (`name: value`) and those of the signature, one a line. Raises ValueError without a secret."""
    secrets = [one for one in os.environ.get("BOXOFFICE_EVENT_SECRETS", "").split(",") if one]
    pairs = (line.partition(":") for line in given)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    proven = EventSigner(secrets, lambda: datetime.now(UTC)).signed(headers, body.encode())
    return "".join(f"{name}: {value}\n" for name, value in proven.items())


if __name__ == "__main__":
    say(signed(*sys.argv[1:]).removesuffix("\n"))
