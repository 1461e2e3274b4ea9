"""The processes of the local stack: every door, the relay and the clock, and stand-ins for the neighbours, on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from email.utils import parseaddr
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx
import psycopg

from infra.local import faces
from infra.local.catalog import seed
from infra.local.console import Console
from infra.local.home import Home, Running
from infra.local.own_settings import ORIGINS, OwnSettings, refuse_wrong, with_origins
from infra.local.processes import ROOT, Child, Program, StackError, Supervisor, inherited
from infra.local.progress import Progress
from infra.local.reloading import WORKERS, reload_changed
from infra.servers.access import role_passwords, role_url
from infra.servers.ports import LOOPBACK
from infra.servers.postgres import EmbeddedPostgres
from infra.servers.redis import EmbeddedRedis
from infra.servers.redis_choice import WITHOUT_REDIS, redis_program
from shared_lib.contract.routes import DOORS, EVENT_ROUTES
from shared_lib.processes import DATABASE, PROCESSES, VARIABLES, Role
from shared_lib.store.access.roles import make_roles

NEIGHBOURS: Final = ("auth", "sandbox", "mail", "gateway")
SERVERS: Final = ("postgres", "redis")
DBNAME: Final = "boxoffice"
MAIL_DOMAIN: Final = "cinema.example"
SES_REGION: Final = "eu-central-1"
ISSUER: Final = "https://auth.cinema.example"
AUDIENCE: Final = "boxoffice"
# Production ticks every minute, which is too slow to watch.
RENEWAL_TICK_S: Final = 1.0
RECONCILE_TICK_S: Final = 2.0
WEBHOOK_SPEED: Final = 100.0  # divides the sandbox's waits between webhook attempts
PROCESSING_S: Final = 1.0  # "slow" cards
# How long the requests that a door has in hand may take after SIGTERM. A reload must not cut one off; the end of the stack may.
RELOADED_REQUESTS_S: Final = 30
STOPPED_REQUESTS_S: Final = 3


class Stack:
    """The parts, their addresses and their environment."""

    def __init__(
        self, home: Home, console: Console, *, reloads: bool = False, own: OwnSettings | None = None
    ) -> None:
        self._home = home
        self._own = (own or OwnSettings()).used
        self._requests_s = RELOADED_REQUESTS_S if reloads else STOPPED_REQUESTS_S
        self._console = console
        self._secrets = home.secrets()
        self._ports = home.ports([*SERVERS, *NEIGHBOURS, *DOORS])
        self._supervisor = Supervisor(console)
        self._postgres = EmbeddedPostgres(
            home.folder / "postgres",
            port=self._ports["postgres"],
            settings={"unix_socket_directories": ""},  # no socket folder outside the data folder
            password=self._secrets.database_password,
        )
        self._redis = EmbeddedRedis(
            port=self._ports["redis"],
            log_file=console.log_file("redis"),
            password=self._secrets.redis_password,
        )
        self._admin_url = os.environ.get("DATABASE_URL") or self._postgres.url(DBNAME)

    def address(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self._ports[name]}"

    async def start(self, progress: Progress) -> Running:
        """Programs that need no database start while PostgreSQL does. StackError names the process or setting that failed."""
        up = self._supervisor
        refuse_wrong(self.given("cli"))
        if not os.environ.get("REDIS_URL"):
            if redis_program():
                up.serve("redis", self._redis)
            else:
                self._console.say(WITHOUT_REDIS)
        neighbours = up.launch(self._neighbours())
        progress.step("PostgreSQL")
        if "DATABASE_URL" not in os.environ:
            up.serve("postgres", self._postgres)
            self._postgres.create_database(DBNAME)
        await asyncio.to_thread(self._make_roles)
        doors = up.launch([self._door(name) for name in DOORS])
        progress.step("tables and catalog")
        await up.run_to_end(self._python("migrate", "shared_lib.store.migrate"))
        await asyncio.to_thread(seed, role_url(self._admin_url, Role.OPERATOR))
        up.launch([self._python(name, f"shared_lib.workers.{name}") for name in WORKERS])
        front = up.launch([self._gateway()])
        await self._all_ready([*neighbours, *doors, *front], progress)
        up.watch()
        running = self._running()
        self._home.keep_settings(self.given("cli"))
        for name in DOORS:
            self._home.keep_settings(self.given(name), name)
        self._home.announce(running)
        return running

    async def _all_ready(self, children: Sequence[Child], progress: Progress) -> None:
        waiting = [child.program.name for child in children]

        async def ready(child: Child) -> None:
            await self._supervisor.ready(child)
            waiting.remove(child.program.name)
            progress.step(f"{len(children) - len(waiting)} of {len(children)} processes are ready")

        await asyncio.gather(*(ready(child) for child in children))

    def reload(self, names: Collection[str]) -> list[str]:
        return self._supervisor.reload(names)

    async def stop(self) -> None:
        self._home.forget_running()
        await self._supervisor.stop()

    def _make_roles(self) -> None:
        try:
            make_roles(self._admin_url, role_passwords(self._admin_url))
        except psycopg.errors.InsufficientPrivilege as error:
            raise StackError(
                f"DATABASE_URL must name an administrator, who may create the roles: {error}"
            ) from error

    def _running(self) -> Running:
        return Running(
            pid=os.getpid(),
            gateway=self.address("gateway"),
            auth=self.address("auth"),
            sandbox=self.address("sandbox"),
            mail=self.address("mail"),
            database_url=role_url(self._admin_url, Role.OPERATOR),
            doors={name: self.address(name) for name in DOORS},
        )

    def _door(self, name: str) -> Program:
        """The production command line, on loopback."""
        argv = ["--host", LOOPBACK, "--port", str(self._ports[name])]
        argv += ["--timeout-keep-alive", "95", "--log-level", "warning"]
        argv += ["--timeout-graceful-shutdown", str(self._requests_s)]
        env = {"FUNCTION": name, "BOXOFFICE_DRAIN_S": "0"}  # the gateway stops at the same time
        return self._python(name, "functions", argv, env=env, ready_url=self.address(name) + "/readyz")

    def _neighbours(self) -> list[Program]:
        port = {name: str(self._ports[name]) for name in NEIGHBOURS}
        keys = ["--port", port["auth"], "--data", str(self._home.folder / "auth"), "--issuer", ISSUER]
        books = ["--port", port["sandbox"], "--data", str(self._home.folder / "sandbox")]
        books += ["--speed", str(WEBHOOK_SPEED), "--processing-s", str(PROCESSING_S)]
        books += faces.bank_arguments(self.address("gateway"))
        return [
            self._python(
                "auth", "infra.standins.auth_service", keys, ready_url=self.address("auth") + "/livez"
            ),
            self._python(
                "sandbox",
                "infra.sandbox",
                books,
                env=faces.bank_secrets(self._secrets),
                ready_url=self.address("sandbox") + "/livez",
            ),
            Program(
                name="mail",
                argv=[sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", port["mail"]],
                env=inherited(),
                ready_url=self.address("mail") + "/moto-api/",
                prepare=self._verify_sender,
            ),
        ]

    def _gateway(self) -> Program:
        doors = json.dumps({name: self.address(name) for name in DOORS})
        argv = ["--port", str(self._ports["gateway"]), "--doors", doors]
        return self._python(
            "gateway", "infra.standins.gateway", argv, ready_url=self.address("gateway") + "/livez"
        )

    def _python(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        *,
        env: dict[str, str] | None = None,
        ready_url: str | None = None,
    ) -> Program:
        argv: list[str | Path] = [sys.executable, "-m", module, *arguments]
        ours = {} if name in NEIGHBOURS else self.given(name)
        return Program(name=name, argv=argv, env=inherited() | ours | (env or {}), ready_url=ready_url)

    def given(self, process: str) -> dict[str, str]:
        """The settings of one process, with only its own role and secrets (shared_lib/processes.py)."""
        needs = PROCESSES[process]
        database = {DATABASE: role_url(self._admin_url, needs.role)} if needs.role else {}
        secrets = self._secret_variables()
        held = {
            name: secrets[name] for secret in needs.secrets for name in VARIABLES[secret] if name in secrets
        }
        not_its = {name for names in VARIABLES.values() for name in names} - set(held) | faces.foreign(
            process
        )
        own = {name: value for name, value in self._own.items() if name not in not_its}
        providers = faces.given(process, self._own, self.address("sandbox"), self._secrets)
        return self._settings() | database | held | providers | own | self._origins()

    def _origins(self) -> dict[str, str]:
        return {ORIGINS: with_origins(self.address("gateway"), self._own.get(ORIGINS, ""))}

    def _secret_variables(self) -> dict[str, str]:
        return {
            "BOXOFFICE_REDIS_URL": os.environ.get("REDIS_URL")
            or (self._redis.url() if redis_program() else ""),
            "BOXOFFICE_EVENT_SECRETS": self._secrets.event_secret,
            "BOXOFFICE_REPLY_SECRETS": self._secrets.reply_secret,
            "BOXOFFICE_SANDBOX_API_KEY": self._secrets.sandbox_api_key,
            "BOXOFFICE_CARD_PEPPER": sha256(f"cards {self._secrets.reply_secret}".encode()).hexdigest(),
            "BOXOFFICE_SANDBOX_WEBHOOK_SECRETS": self._secrets.sandbox_webhook_secret,
            "AWS_ACCESS_KEY_ID": "any-id-for-moto",
            "AWS_SECRET_ACCESS_KEY": "any-key-for-moto",
        }

    def _settings(self) -> dict[str, str]:
        """Settings that are not secret."""
        settings = {
            "ENVIRONMENT": "local",
            "AUTH_JWKS_URL": self.address("auth") + "/.well-known/jwks.json",
            "AUTH_ISSUER": ISSUER,
            "AUTH_AUDIENCE": AUDIENCE,
            "PROVIDERS": "sandbox",
            "DEFAULT_PROVIDER": "sandbox",
            "SANDBOX_URL": self.address("sandbox"),
            "PUBLIC_URL": self.address("gateway"),
            "EVENT_ROUTES": json.dumps({prefix: self.address(name) for prefix, name in EVENT_ROUTES.items()}),
            "RENEWAL_TICK_S": str(RENEWAL_TICK_S),
            "RECONCILE_TICK_S": str(RECONCILE_TICK_S),
            "SES_REGION": SES_REGION,
            "SES_ENDPOINT_URL": self.address("mail"),
            "MAIL_FROM": f"Boxoffice <tickets@{MAIL_DOMAIN}>",
            "CINEMA_ACCOUNT_URL": self.address("gateway") + "/account",
        }
        ours = {f"BOXOFFICE_{name}": value for name, value in settings.items()}
        return ours | {"AWS_EC2_METADATA_DISABLED": "true"}

    async def _verify_sender(self) -> None:
        """Verify our sender: SES refuses unverified ones, and moto keeps them in memory. moto accepts any signature."""
        headers = {
            "authorization": f"AWS4-HMAC-SHA256 Credential=local/20300101/{SES_REGION}/ses/aws4_request"
        }
        sender = parseaddr(self._own.get("BOXOFFICE_MAIL_FROM", ""))[1].rpartition("@")[2] or MAIL_DOMAIN
        form = {"Action": "VerifyDomainIdentity", "Version": "2010-12-01", "Domain": sender}
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(self.address("mail"), data=form, headers=headers)
        if not answer.is_success:
            raise StackError(f"mail does not accept {sender} as a sender: {answer.text}")


@asynccontextmanager
async def running_stack(
    home: Home, console: Console, *, reloads: bool = False, own: OwnSettings | None = None
) -> AsyncIterator[tuple[Running, float]]:
    """Start a stack; yields it and the seconds that took. Everything is stopped at the end. `home` must be held.

    With `reloads`, parts whose code changes are started again meanwhile. `own` are settings beside those of the stack.
    """
    began = time.monotonic()
    stack = Stack(home, console, reloads=reloads, own=own)
    watching: asyncio.Task[None] | None = None
    try:
        with console.starting(), Progress(console, "Starting") as progress:
            running = await stack.start(progress)
        if reloads:
            watching = asyncio.create_task(reload_changed(ROOT, stack.reload, console))
        yield running, time.monotonic() - began
    finally:
        if watching:
            watching.cancel()
        console.status("Stopping")
        await stack.stop()
        console.forget_status()
