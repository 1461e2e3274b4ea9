"""What the running containers say, what they mailed, and tokens for them. Standard library alone, so that Docker is enough."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from typing import Final

from infra.compose import up
from infra.compose.docker import ROOT, compose_command, docker, images
from infra.local.console import Console
from infra.local.inbox import show
from infra.local.relayed import follow
from infra.servers.sent_mails import PATH, accepted
from shared_lib.visible import say

# "create-order-1  | ..." of Compose 2, "boxoffice_create-order_1 | ..." of Compose 1.
_NAMED: Final = re.compile(r"(?:[^\s|_]+_)?(?P<name>[a-z-]+?)[-_][0-9]+ +\| ?(?P<line>.*)")
# Runs inside the container of the mail service, which is not published.
READING: Final = f"""
import urllib.request as r
print(r.urlopen("http://127.0.0.1:5000{PATH}", timeout=30).read().decode())
"""


def logs(rest: Sequence[str]) -> int:
    """Follow the logs of these services, of all without names. Options of `docker compose logs` are passed on."""
    command = [*compose_command(), "logs", "--no-color", "--follow", "--tail=20", *rest]
    return follow(command, images() | os.environ, ROOT, _NAMED.fullmatch)


def mails(rest: Sequence[str]) -> int:
    return show_mails(docker("exec", up.running_id("mail"), "python", "-c", READING), rest)


def show_mails(models: str, rest: Sequence[str]) -> int:
    """What moto answered, as an inbox; 1 when there is no mail of the wanted number."""
    parser = argparse.ArgumentParser(prog="make mails", add_help=False)
    parser.add_argument("number", nargs="?", type=int)
    parser.add_argument("--customer")
    wanted = parser.parse_args(rest)
    found = show(Console(ROOT), accepted(json.loads(models)), customer=wanted.customer, number=wanted.number)
    return 0 if found else 1


def token(rest: Sequence[str]) -> int:
    say(up.token(rest[0] if rest else up.CUSTOMER, *(rest[1:] or ["billing:customer"])))
    return 0
