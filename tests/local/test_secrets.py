"""Each process holds exactly the secrets on its list, in the local stack; and does not start without one it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from infra.local.console import Console
from infra.local.home import Home
from infra.local.stack import Stack
from infra.sandbox.launch import new_webhook_secret
from infra.servers.access import role_url
from infra.servers.postgres import EmbeddedPostgres
from infra.servers.redis import EmbeddedRedis
from shared_lib.contract.routes import DOORS
from shared_lib.processes import DATABASE, OF_PROVIDERS, PROCESSES, VARIABLES, Role, Secret, lacking
from shared_lib.settings import Settings
from shared_lib.store.replay import ReplayCache

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/roles.md"
SANDBOX = {"BOXOFFICE_SANDBOX_URL": "http://127.0.0.1:9", "BOXOFFICE_ENVIRONMENT": "local"}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Not started. The shell that starts it holds secrets that no process of the stack may get."""
    for name in ("AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "NGROK_AUTHTOKEN", "BOXOFFICE_SANDBOX_API_KEY"):
        monkeypatch.setenv(name, "of-the-shell")
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    home = Home(tmp_path)
    assert home.hold()
    yield Stack(home, Console(home.logs, quiet=True))
    for held in (home._lock, *home._claims):
        assert held
        held.close()


def environments(stack: Stack) -> dict[str, dict[str, str]]:
    """Every process of the stack but the embedded servers -> its environment."""
    ours = [stack._door(name) for name in DOORS]
    ours += [stack._python(name, "x") for name in PROCESSES if name not in DOORS]
    return {one.name: dict(one.env) for one in [*ours, *stack._neighbours(), stack._gateway()]}


@pytest.mark.usefixtures("redis_here")  # its address is one of the secrets
def test_each_process_of_the_local_stack_holds_exactly_the_secrets_on_its_list(stack: Stack) -> None:
    held = stack._secret_variables()
    roles = {role: role_url(stack._admin_url, role) for role in Role}
    known = set(held.values()) | set(roles.values()) | {stack._admin_url, stack._secrets.database_password}
    for name, environment in environments(stack).items():
        assert "of-the-shell" not in environment.values(), name
        found = {value for secret in known for value in environment.values() if secret in value}
        if name == "sandbox":  # a neighbour with keys of its own, which are ours for it
            assert found == {held["BOXOFFICE_SANDBOX_API_KEY"], held["BOXOFFICE_SANDBOX_WEBHOOK_SECRETS"]}
        elif name not in PROCESSES:
            assert found == set(), name
        else:
            needs = PROCESSES[name]
            listed = {
                held[variable]
                for secret in needs.secrets
                for variable in VARIABLES[secret]
                if variable in held
            }
            assert found == listed | ({roles[needs.role]} if needs.role else set()), name
            assert environment.get(DATABASE) == (roles[needs.role] if needs.role else None), name


def test_every_process_has_a_list_and_every_door_is_a_process() -> None:
    workers = {"relay", "clock", "trigger", "topics", "migrate", "cli"}
    assert set(PROCESSES) == set(DOORS) | workers
    kinds = [VARIABLES, *OF_PROVIDERS.values()]
    assert {variable for kind in kinds for variables in kind.values() for variable in variables} >= {
        f"BOXOFFICE_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }


def test_the_page_says_what_each_process_holds() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w*) ?\|((?: x? ?\|){7})$", PAGE.read_text(), re.MULTILINE)
    columns = [Secret.PROVIDER_KEY, Secret.WEBHOOK_SECRETS, Secret.REDIS, Secret.REPLY_SECRETS, Secret.MAIL]
    columns += [Secret.EVENT_SECRETS, Secret.KAFKA]
    assert set(columns) == set(Secret)
    page = {
        name: (role, {one for one, cell in zip(columns, cells.split("|"), strict=False) if "x" in cell})
        for name, role, cells in rows
    }
    assert page == {
        name: (needs.role.removeprefix("boxoffice_") if needs.role else "", set(needs.secrets))
        for name, needs in PROCESSES.items()
    }


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_names_each_setting_that_it_needs_and_lacks(process: str) -> None:
    needs = PROCESSES[process]
    wanted = {DATABASE} if needs.role else set()
    wanted |= {"BOXOFFICE_SANDBOX_API_KEY"} if Secret.PROVIDER_KEY in needs.secrets else set()
    wanted |= {"BOXOFFICE_SANDBOX_WEBHOOK_SECRETS"} if Secret.WEBHOOK_SECRETS in needs.secrets else set()
    assert set(lacking(process, {}, ("sandbox",))) == wanted
    assert lacking(process, dict.fromkeys(wanted, "x"), ("sandbox",)) == []
    assert lacking(process, {DATABASE: "x"}, ("elsewhere:Provider",)) == []


@pytest.mark.parametrize(
    ("argv", "environment", "named"),
    [
        (["shared_lib.workers.relay"], {}, "relay needs BOXOFFICE_DATABASE_URL"),
        (["shared_lib.store.migrate"], {}, "migrate needs BOXOFFICE_DATABASE_URL"),
        (["shared_lib.store.access"], {}, "BOXOFFICE_ADMIN_DATABASE_URL is not set"),
        (
            ["functions", "--port", "0"],
            {
                "FUNCTION": "webhook",
                DATABASE: "postgresql://x@127.0.0.1:9/x",
                "BOXOFFICE_SANDBOX_API_KEY": "x",
            },
            "webhook needs BOXOFFICE_SANDBOX_WEBHOOK_SECRETS",
        ),
        (
            ["functions", "--port", "0"],
            {
                "FUNCTION": "account",
                DATABASE: "postgresql://x@127.0.0.1:9/x",
                "BOXOFFICE_SANDBOX_WEBHOOK_SECRETS": new_webhook_secret(),
            },
            "account needs BOXOFFICE_SANDBOX_API_KEY",
        ),
    ],
)
def test_a_process_without_a_secret_it_needs_ends_at_its_start_and_says_which(
    argv: list[str], environment: dict[str, str], named: str
) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BOXOFFICE_")}
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        env=inherited | SANDBOX | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert named in done.stdout + done.stderr


# ---- the embedded servers ask for passwords -----------------------------------------------------------------------------


def test_postgres_with_a_password_lets_nobody_in_without_one_although_its_data_is_older(
    server_folders: Callable[[], Path],
) -> None:
    folder = server_folders()
    with EmbeddedPostgres(folder) as trusting:
        psycopg.connect(trusting.url()).close()
    for password in ("first", "second"):
        with EmbeddedPostgres(folder, password=password) as server:
            psycopg.connect(server.url()).close()
            for stranger in (f":{password}x", ":first" if password == "second" else ":", ""):
                with pytest.raises(psycopg.OperationalError, match="password"):
                    psycopg.connect(server.url().replace(f":{password}", stranger, 1))
            assert "first" not in (folder / "pg_hba.conf").read_text()
            assert "SCRAM" not in server.log_file.read_text()


@pytest.fixture
def guarded(redis_here: None) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(password="of-boxoffice") as server:
        yield server


async def test_what_boxoffice_asks_of_redis_is_all_it_may_do_there(guarded: EmbeddedRedis) -> None:
    cache = ReplayCache(guarded.url())
    assert await cache.claim("boxoffice:reply:1", b"mark", 30) is None
    assert await cache.claim("boxoffice:reply:1", b"other", 30) == b"mark"
    await cache.keep("boxoffice:reply:1", b"reply", 30)
    assert await cache.claim("boxoffice:reply:1", b"other", 30) == b"reply"
    await cache.drop("boxoffice:reply:1")
    assert await cache.claim("boxoffice:reply:1", b"mark", 30) is None
    assert cache._resting_until == 0, "Redis refused something"
    await cache.aclose()

    refused = [
        "FLUSHALL",
        "KEYS *",
        "CONFIG GET *",
        "ACL LIST",
        "SHUTDOWN",
        "SCAN 0",
        "MONITOR",
    ]
    refused += ["GET other:key", "SET other:key x", "CLIENT LIST", "REPLICAOF 127.0.0.1 1", "SCRIPT FLUSH"]
    with redis.Redis.from_url(guarded.url()) as client:
        for command in refused:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())
        with pytest.raises(
            redis.exceptions.ResponseError
        ):  # Redis 7 refuses it to every client, in words of its own
            client.execute_command("DEBUG", "SLEEP", "1")
    with redis.Redis(port=guarded.port) as anyone:
        assert anyone.ping()
        for command in ("GET boxoffice:reply:1", "SET boxoffice:reply:1 x", "FLUSHALL", "CONFIG GET *"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                anyone.execute_command(*command.split())
    stranger = redis.Redis.from_url(guarded.url().replace("of-boxoffice", "of-others"))
    with stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()
