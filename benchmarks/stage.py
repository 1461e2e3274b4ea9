"""The stage of a benchmark: PostgreSQL that waits for its disk, Redis, the Auth service, a catalog, customers, servers."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from compileall import compile_dir
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any, Final

import psycopg

from benchmarks.instant import NAME as INSTANT
from benchmarks.provider import API_KEY
from benchmarks.provider import NAME as OVER_HTTP
from infra.sandbox.launch import new_webhook_secret
from infra.servers.access import prepare
from infra.servers.leash import spawn
from infra.servers.ports import free_port, wait_for_http
from infra.servers.postgres import temporary_postgres
from infra.servers.redis import EmbeddedRedis
from infra.standins.auth_service import SigningKeys, issue_token

ROOT = Path(__file__).parents[1]
ISSUER: Final = "http://auth.test"
TITLES: Final = 200
TOKEN_TTL_S: Final = 6 * 3600

POSTGRES: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",  # no leg pays for the checkpoint of another; each begins after one
}


@dataclass
class Stage:
    """Everything a contender needs, on loopback."""

    home: Path
    database_url: str
    redis_url: str
    jwks_url: str
    keys: SigningKeys
    servers: dict[str, Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "BOXOFFICE_ENVIRONMENT": "test",
            "BOXOFFICE_DATABASE_URL": self.database_url,
            "BOXOFFICE_REDIS_URL": self.redis_url,
            "BOXOFFICE_AUTH_JWKS_URL": self.jwks_url,
            "BOXOFFICE_AUTH_ISSUER": ISSUER,
            "BOXOFFICE_AUTH_AUDIENCE": "boxoffice",
            "BOXOFFICE_PROVIDERS": INSTANT,
            "BOXOFFICE_DEFAULT_PROVIDER": INSTANT,
            "BOXOFFICE_RETURN_URL_ORIGINS": "http://cinema.test",
            # The same customers come in every leg, and pay for nothing.
            "BOXOFFICE_OPEN_ORDERS_MAX": "1000",
        }

    def spawn(self, name: str, *argv: str, env: Mapping[str, str] | None = None) -> Popen[bytes]:
        """Start a Python process with our settings; its output goes to a file of its name."""
        with (self.home / f"{name}.log").open("ab") as log:
            process = spawn(
                [sys.executable, *argv],
                output=log,
                env=dict(os.environ) | self.environment | dict(env or {}),
                cwd=ROOT,
            )
        self.servers[name] = process
        return process

    def serve(
        self,
        name: str,
        app: str,
        *,
        port: int,
        function: str = "",
        driver: str = "psycopg",
        processes: int = 1,
        **more: str,
    ) -> Popen[bytes]:
        """That many uvicorn workers on one port; with `function` a door, as the image starts it. `more` goes into their environment. Each server writes one line per request: Boxoffice its own, the controls uvicorn's."""
        program = ["uvicorn", app, "--http", "httptools", "--log-level", "info"]
        if function:
            program = ["functions", "--log-level", "warning"]
        return self.spawn(
            name, "-m", *program, "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop",
            "--timeout-keep-alive", "95", "--workers", str(processes),
            env={"FUNCTION": function, "DRIVER": driver, **more},
        )  # fmt: skip

    def start_provider(self, takes_ms: int = 0) -> str:
        """A provider in a process of its own, which answers after that time; its address."""
        port = free_port()
        self.spawn(f"provider-{port}", "-m", "benchmarks.provider", str(port), str(takes_ms))
        url = f"http://127.0.0.1:{port}"
        wait_for_http(url)
        return url

    def log_tail(self, name: str) -> str:
        return "\n".join((self.home / f"{name}.log").read_text(errors="replace").splitlines()[-20:])

    def close(self) -> None:
        for process in self.servers.values():
            process.terminate()
        for process in self.servers.values():
            process.wait(timeout=20)

    def db(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.database_url, autocommit=True)

    def value(self, sql: str) -> Any:
        with self.db() as db:
            row = db.execute(sql.encode()).fetchone()
        assert row is not None
        return row[0]

    def tokens(self, customers: range) -> Path:
        """A token for each of these customers, one per line: signed by the Auth service's RSA key."""
        path = self.home / f"tokens-{customers.start}-{customers.stop}"
        if not path.exists():
            path.write_text("\n".join(self._token(n) for n in customers))
        return path

    def tokens_from(self, tokens: Path, first: int) -> Path:
        """The same tokens, beginning with another one: a short leg does not meet those that a door remembers from the last."""
        path = self.home / "tokens-of-leg"
        lines = tokens.read_text().split()
        path.write_text("\n".join(lines[first:] + lines[:first]))
        return path

    def _token(self, n: int) -> str:
        return issue_token(
            self.keys,
            sub=customer_id(n),
            email=f"{customer_id(n)}@example.com",
            locale="en",
            alg="RS256",
            ttl_s=TOKEN_TTL_S,
            issuer=ISSUER,
        )

    def prices(self, leg: int = 0) -> Path:
        """Titles to order one after the other; each leg begins with another one.

        A title is ordered once by a customer. As many prices as share no factor with the number of customers, so a
        customer whose turn comes again in a leg orders another title.
        """
        path = self.home / f"prices-{leg}"
        prices = [f"prc_b{n:03}_{kind}" for n in range(1, TITLES + 1) for kind in ("buy", "rent")][:-1]
        path.write_text("\n".join(prices[leg:] + prices[:leg]))
        return path


def over_http(provider_url: str) -> dict[str, str]:
    """Settings of doors and controls for a provider at that address; none for an empty one."""
    if not provider_url:
        return {}
    return {
        "BOXOFFICE_PROVIDERS": OVER_HTTP,
        "BOXOFFICE_DEFAULT_PROVIDER": OVER_HTTP,
        "BOXOFFICE_SANDBOX_URL": provider_url,
        "BOXOFFICE_SANDBOX_API_KEY": API_KEY,
        "BOXOFFICE_SANDBOX_WEBHOOK_SECRETS": new_webhook_secret(),
        "PROVIDER_URL": provider_url,
    }


def customer_id(n: int) -> str:
    return f"cus_{n:06}"


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Everything started, migrated and empty but for the catalog; all of it is gone afterwards."""
    for shipped in ("shared_lib", "functions", "benchmarks"):  # compiled, as the image has them
        compile_dir(ROOT / shipped, quiet=1)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boxoffice-bench-")))
        postgres = stack.enter_context(temporary_postgres(POSTGRES))
        redis = stack.enter_context(EmbeddedRedis())
        database_url = postgres.create_database("bench")
        prepare(database_url)
        port = free_port()
        stage = Stage(
            home=home,
            database_url=database_url,
            redis_url=redis.url(),
            jwks_url=f"http://127.0.0.1:{port}/.well-known/jwks.json",
            keys=SigningKeys.open(home / "auth"),
        )
        stack.callback(stage.close)
        stage.spawn(
            "auth", "-m", "infra.standins.auth_service", "--port", str(port), "--data", str(home / "auth"),
            "--issuer", ISSUER,
        )  # fmt: skip
        wait_for_http(f"http://127.0.0.1:{port}/livez")
        seed_catalog(stage)
        yield stage


def seed_catalog(stage: Stage) -> None:
    """Titles to buy and to rent, and a plan."""
    with stage.db() as db:
        db.execute(
            """
            INSERT INTO products SELECT 'prd_b' || lpad(n::text, 3, '0'), 'Film number ' || n, now()
            FROM generate_series(1, %s) AS n
            """,
            [TITLES],
        )
        db.execute(
            """
            INSERT INTO prices (id, product_id, kind, amount_minor, currency, sellable_from)
            SELECT 'prc_b' || substr(p.id, 6) || kind.suffix, p.id, kind.name, kind.minor, 'EUR', '2020-01-01Z'
            FROM products p, (VALUES ('_buy', 'purchase', 1299), ('_rent', 'rental', 399)) AS kind (suffix, name, minor)
            """
        )
        db.execute("INSERT INTO products VALUES ('prd_plan', 'Cinema Plus', now())")
        db.execute(
            """
            INSERT INTO prices (id, product_id, kind, amount_minor, currency, interval_unit, interval_count, sellable_from)
            VALUES ('prc_plan', 'prd_plan', 'subscription', 1299, 'EUR', 'month', 1, '2020-01-01Z')
            """
        )


def seed_orders(stage: Stage, *, customers: int, history: int) -> None:
    """A past: orders of other days, so that tables have a size, indexes a depth and the planner statistics."""
    with stage.db() as db:
        db.execute(
            """
            INSERT INTO customers (id, email, locale, time_zone, updated_at)
            SELECT 'cus_' || lpad(n::text, 6, '0'), 'cus_' || lpad(n::text, 6, '0') || '@example.com', 'en', 'UTC', now()
            FROM generate_series(1, %s) AS n
            """,
            [customers],
        )
        db.execute(
            """
            INSERT INTO orders (id, customer_id, price_id, product_id, product_title, kind, billing_reason, status,
                amount_minor, currency, provider, return_url, created_at, expires_at, version)
            SELECT 'ord_00' || lpad(n::text, 24, '0'), 'cus_' || lpad((1 + n %% %s)::text, 6, '0'), p.id, p.product_id,
                'Film', p.kind, p.kind, 'expired', p.amount_minor, 'EUR', %s, 'http://cinema.test/thanks',
                now() - interval '9 days', now() - interval '8 days', 2
            FROM generate_series(1, %s) AS n
            JOIN prices p ON p.id = 'prc_b' || lpad((1 + n %% %s)::text, 3, '0') || '_rent'
            """,
            [customers, INSTANT, history, TITLES],
        )
        db.execute(
            """
            INSERT INTO payments (id, order_id, provider, flow, status, attempt, amount_minor, currency, provider_ref,
                fence, checks, created_at)
            SELECT 'pay' || substr(id, 4), id, provider, 'checkout', 'expired', 1, amount_minor, currency, 'ins_' || id,
                1, 1, created_at FROM orders
            """
        )
        db.execute("VACUUM ANALYZE")
