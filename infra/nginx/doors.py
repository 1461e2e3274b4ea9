"""Writes doors.conf, NGINX's copy of shared_lib/contract/routes.py.

python -m infra.nginx.doors
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from shared_lib.contract.routes import WAYS, Way

FILE: Final = Path(__file__).with_name("doors.conf")
_HEAD: Final = """\
# Written by `python -m infra.nginx.doors` from shared_lib/contract/routes.py; a test compares them.
#
# The address as it came, before anything is decoded or resolved: only plain segments lead anywhere, so that no spelling
# of /events does.
map "$request_method $request_uri" $door {
    default "";
"""


def service(door: str) -> str:
    """The container of a door; names of hosts have no underscore."""
    return door.replace("_", "-")


def table() -> str:
    """The file's text."""
    return _HEAD + "".join(f"    {_line(way)}\n" for way in WAYS) + "}\n"


def _line(way: Way) -> str:
    methods, places = "|".join(way.methods) or "[A-Z]+", "|".join(way.places)
    return rf'"~^({methods}) /v1/({places})(/[A-Za-z0-9_-]+)*/?(\?|$)" {service(way.door)};'


if __name__ == "__main__":
    FILE.write_text(table())
