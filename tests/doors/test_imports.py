"""What a door imports when it starts. Each library costs every start and every idle instance, so each has a reason to be there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from shared_lib.contract.routes import DOORS, HTTP_DOORS
from shared_lib.processes import ASKING, PROCESSES, Secret
from tests.doors.running import door_process
from tests.kit.cinema import Cinema
from tests.kit.waiting import until

ROOT: Final = Path(__file__).parents[2]
# Needed by the command line, by workers, by tables and migrations, by the framework's own command, or later by some doors.
NO_DOOR: Final = {
    *(
        "sqlmodel",
        "sqlalchemy",
        "alembic",
        "kafka",
        "boto3",
        "botocore",
        "redis",
        "typer",
        "rich",
        "pygments",
        "greenlet",
    ),
    *("functions_framework", "flask", "werkzeug", "gunicorn", "aiohttp", "yarl", "fastapi", "moto", "jwt"),
}
# What customers' tokens and the mails are made with.
TOKENS: Final = {"joserfc", "cryptography"}
MAILS: Final = {"jinja2", "babel"}

IMPORTED: Final = """
import json, sys
import shared_lib.web.asgi as asgi
asgi.Door(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name, module in sys.modules.items() if module})))
"""


@pytest.mark.parametrize("door", DOORS)
def test_a_door_imports_no_library_that_it_does_not_need(door: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORTED, door], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = set(json.loads(found.stdout))
    forbidden = NO_DOOR | (set() if door in HTTP_DOORS else TOKENS) | (set() if door == "notify" else MAILS)
    assert imported & forbidden == set()
    assert {"psycopg", "pydantic", "starlette"} <= imported  # what was read is the door's list


@pytest.mark.parametrize("door", ["create_order", "notify"])
async def test_a_door_that_asks_a_provider_loads_the_client_before_the_first_question(
    cinema: Cinema, door: str
) -> None:
    async with door_process(cinema.rt.settings, door) as started:
        maps = Path(f"/proc/{started.process.pid}/maps")
        await until(started.ready)
        assert ("aiohttp/_http_parser" in maps.read_text()) == (door in ASKING)
        assert "hiredis/hiredis" not in maps.read_text()  # with the first key: Redis is a tenth of a start


def test_doors_that_ask_a_provider_have_its_key() -> None:
    assert all(Secret.PROVIDER_KEY in PROCESSES[door].secrets for door in ASKING)
