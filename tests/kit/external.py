"""The servers tests talk to: embedded ones, or those that DATABASE_URL and REDIS_URL name."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import redis

from infra.servers.postgres import EmbeddedPostgres
from infra.servers.redis import EmbeddedRedis

DATABASES_MAX = 16


@dataclass(frozen=True, slots=True)
class ExternalPostgres:
    """A server we may create databases on, but not stop."""

    base_url: str

    def url(self, dbname: str = "postgres") -> str:
        return urlunsplit(urlsplit(self.base_url)._replace(path=f"/{dbname}"))


class ExternalRedis:
    """A server of somebody else: tests use its first empty database, because they flush it."""

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
