"""Real servers for every test: one PostgreSQL and one Redis per session, a fresh database per test. A plugin of tests/conftest.py.

DATABASE_URL and REDIS_URL replace the embedded ones. Each pytest-xdist worker has a session of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from psycopg import sql

from infra.servers.moto import EmbeddedMoto
from infra.servers.ports import free_port
from infra.servers.postgres import EmbeddedPostgres
from infra.servers.redis import EmbeddedRedis
from infra.servers.redis_choice import HOW_TO_GET_ONE, redis_program

DATABASES_MAX = 16


@dataclass(frozen=True, slots=True)
class ExternalPostgres:
    """A server we may create databases on, but not stop."""

    base_url: str

    def url(self, dbname: str = "postgres") -> str:
        return urlunsplit(urlsplit(self.base_url)._replace(path=f"/{dbname}"))


class ExternalRedis:
    """A server that tests do not own: they use its first empty database, because they flush it."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._database = next(filter(self._is_empty, range(DATABASES_MAX)), None)
        if self._database is None:
            raise RuntimeError("REDIS_URL: no empty database to test in")

    def url(self) -> str:
        return self._numbered(self._database or 0)

    def _is_empty(self, database: int) -> bool:
        with redis.Redis.from_url(self._numbered(database)) as client:
            return bool(client.dbsize() == 0)

    def _numbered(self, database: int) -> str:
        return urlunsplit(urlsplit(self._base_url)._replace(path=f"/{database}"))


PostgresServer = EmbeddedPostgres | ExternalPostgres
RedisServer = EmbeddedRedis | ExternalRedis
ServerFolders = Callable[[], Path]

MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - folders in it are made by mkdtemp
MEMORY_MIN_BYTES = 1 << 30
# Tests end servers by SIGKILL: what a server has handed to the kernel survives that, so fsync may be off. The other settings keep
# a few hundred small databases small.
TEST_SETTINGS = {"fsync": "off", "shared_buffers": "128MB", "max_wal_size": "256MB"}


@pytest.fixture(scope="session")
def postgres(server_folders: ServerFolders) -> Iterator[PostgresServer]:
    """The session's PostgreSQL: `url(dbname)`. To kill one, take `own_postgres`."""
    if url := os.environ.get("DATABASE_URL"):
        yield ExternalPostgres(url)
        return
    with EmbeddedPostgres(server_folders(), settings=TEST_SETTINGS) as server:
        yield server


@pytest.fixture
def own_postgres(server_folders: ServerFolders) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of this test's own, not started, to kill and restart at will on one port; it waits for the disk (fsync)."""
    server = EmbeddedPostgres(server_folders(), port=free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def server_folders() -> Iterator[ServerFolders]:
    """A maker of folders that an unprivileged server reaches too (pytest's are private to us), removed at the end.

    In memory where there is room: copying the template database takes 8 ms there and 120 ms on a busy disk.
    """
    roomy = MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > MEMORY_MIN_BYTES
    home = Path(tempfile.mkdtemp(prefix="boxoffice-tests-", dir=MEMORY_DISK if roomy else None))
    home.chmod(0o711)
    numbers = count(1)
    yield lambda: home / f"postgres-{next(numbers)}"
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def redis_here() -> None:
    """The test is skipped on a machine that has no Redis to start."""
    if redis_program() is None:
        pytest.skip(f"no Redis: {HOW_TO_GET_ONE}")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer | None]:
    """The session's Redis: `url(database)`. `stop()` and `restart()` it at will when `embedded`. None without any."""
    if url := os.environ.get("REDIS_URL"):
        yield ExternalRedis(url)
        return
    if redis_program() is None:
        yield None
        return
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="session")
def admin(postgres: PostgresServer) -> Iterator[psycopg.Connection]:
    """A superuser's connection that creates and drops databases."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template(postgres: PostgresServer, admin: psycopg.Connection) -> Iterator[str]:
    """Name of a migrated, empty database, made once and copied for each test. Privileges are copied with the tables."""
    from infra.servers.access import prepare  # noqa: PLC0415 - tests that need no schema do not pay for the ORM

    name = f"boxoffice_template_{uuid.uuid4().hex[:8]}"
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    prepare(postgres.url(name))
    yield name
    _drop(admin, name)


@pytest.fixture
def empty_database_url(postgres: PostgresServer, admin: psycopg.Connection) -> Iterator[str]:
    """A database without any table, dropped after the test."""
    name = f"boxoffice_test_{uuid.uuid4().hex[:12]}"
    admin.execute(sql.SQL("CREATE DATABASE {} STRATEGY FILE_COPY").format(sql.Identifier(name)))
    yield postgres.url(name)
    _drop(admin, name)


@pytest.fixture
def database_url(postgres: PostgresServer, admin: psycopg.Connection, template: str) -> Iterator[str]:
    """A migrated database of this test's own, dropped after it together with the sessions that are still open.

    The url is the superuser's, who may look and turn anything; `role_url(database_url, Role.DOOR)` is a door's.
    """
    name = f"boxoffice_test_{uuid.uuid4().hex[:12]}"
    admin.execute(
        sql.SQL("CREATE DATABASE {} OWNER boxoffice_owner TEMPLATE {} STRATEGY FILE_COPY").format(
            sql.Identifier(name), sql.Identifier(template)
        )
    )
    yield postgres.url(name)
    _drop(admin, name)


@pytest.fixture
def redis_url(redis_url_or_none: str | None) -> str:
    """An empty Redis database; the test is skipped where there is no Redis."""
    if redis_url_or_none is None:
        pytest.skip(f"no Redis: {HOW_TO_GET_ONE}")
    return redis_url_or_none


@pytest.fixture
def redis_url_or_none(redis_server: RedisServer | None) -> str | None:
    """An empty Redis database, or None for what works without it. A server that an earlier test stopped is started again."""
    if redis_server is None:
        return None
    if isinstance(redis_server, EmbeddedRedis):
        redis_server.start()
    url = redis_server.url()
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def _moto_server() -> Iterator[EmbeddedMoto]:
    with EmbeddedMoto() as server:
        yield server


@pytest.fixture
def moto(_moto_server: EmbeddedMoto) -> EmbeddedMoto:
    """An SES that knows no sender and has sent nothing yet."""
    _moto_server.start()
    _moto_server.reset()
    return _moto_server


def _drop(admin: psycopg.Connection, name: str) -> None:
    with suppress(psycopg.errors.InvalidCatalogName):
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
