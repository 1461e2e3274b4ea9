"""A whole Boxoffice for one test: real PostgreSQL, Redis, sandbox provider and HTTP; every door in this process."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.local.catalog import seed
from infra.sandbox.launch import SandboxHandle
from infra.servers.access import role_url
from infra.standins.auth_service import SigningKeys, build_app, issue_token
from shared_lib.contract.routes import DOORS, EVENT_ROUTES, door_of
from shared_lib.events.incoming import binary
from shared_lib.events.proof import EventSigner
from shared_lib.processes import Role
from shared_lib.providers.cards import HashedCards
from shared_lib.providers.sandbox import SandboxProvider
from shared_lib.providers.transport import TIMEOUT
from shared_lib.runtime import Runtime, install
from shared_lib.settings import Settings
from shared_lib.store.batch import connection_pool
from shared_lib.web.asgi import door
from shared_lib.web.http import verifier
from shared_lib.workers.http_sink import HttpSink, to_doors
from shared_lib.workers.relay import Relay
from tests.kit.clock import ADVANCE
from tests.kit.serving import serving
from tests.kit.waiting import PATIENCE_S

RETURN_URL = "http://cinema.test/thanks"
EVENT_SECRET = "whsec_" + b64encode(b"the secret of senders in tests..").decode()
AUTH_ISSUER, AUDIENCE = "http://auth.test", "boxoffice"
KEEP_ALIVE_S = 95


@lru_cache(maxsize=1)
def doors() -> dict[str, ASGIApp]:
    """The doors by name, each made once per process."""
    return {name: door(name) for name in DOORS}


@dataclass
class Cinema:
    """Calls doors as the gateway would, and plays customer, provider and clock.

    The doors and the relay have the database roles they have in production; `database_url` and `db` are the superuser's.
    """

    rt: Runtime
    url: str
    sandbox: SandboxHandle
    keys: SigningKeys
    database_url: str
    http: httpx.AsyncClient
    relay: Relay
    relay_rt: Runtime
    crashes: dict[str, Exception] = field(default_factory=dict)

    def token(self, customer: str = "ann", *scopes: str, **claims: Any) -> str:
        return issue_token(
            self.keys,
            sub=customer,
            scopes=scopes or ("billing:customer",),
            email=claims.pop("email", f"{customer}@example.com"),
            issuer=AUTH_ISSUER,
            audience=AUDIENCE,
            **claims,
        )

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        customer: str | None = "ann",
        scopes: tuple[str, ...] = (),
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One call through the gateway, with a token and, for POST, a fresh Idempotency-Key."""
        sent = dict(headers or {})
        if customer:
            sent.setdefault("authorization", f"Bearer {self.token(customer, *scopes)}")
        if method == "POST" and key != "":
            sent.setdefault("idempotency-key", f'"{key or uuid.uuid4()}"')
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return await self.http.request(method, self.url + path, content=content, headers=sent)

    async def order(self, price_id: str, *, customer: str = "ann", **body: Any) -> dict[str, Any]:
        answer = await self.call(
            "POST", "/v1/orders", {"price_id": price_id, "return_url": RETURN_URL, **body}, customer=customer
        )
        assert answer.status_code in (201, 202), answer.text
        return cast("dict[str, Any]", answer.json())

    async def pay(self, checkout_url: str, number: str = "4242424242424242") -> httpx.Response:
        """Pay on the provider's page, as a browser would."""
        form = {"number": number, "expires": "12 / 34", "cvc": "123"}
        return await self.http.post(checkout_url, data=form, follow_redirects=False)

    async def get(self, path: str, *, customer: str = "ann") -> dict[str, Any]:
        answer = await self.call("GET", path, customer=customer)
        assert answer.status_code == 200, answer.text
        return cast("dict[str, Any]", answer.json())

    async def until(
        self, path: str, *, customer: str = "ann", seconds: float = PATIENCE_S, **wanted: Any
    ) -> dict[str, Any]:
        """Read the resource until its fields have the wanted values; returns it."""
        found: dict[str, Any] = {}
        for _ in range(int(seconds / 0.05)):
            found = await self.get(path, customer=customer)
            if all(found.get(name) == value for name, value in wanted.items()):
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"{path} never showed {wanted}: {found}")

    async def bought(
        self, price_id: str, *, customer: str = "ann", number: str = "4242424242424242"
    ) -> dict[str, Any]:
        """Order, pay on the page, and wait for the webhook."""
        order = await self.order(price_id, customer=customer)
        await self.pay(order["checkout_url"], number)
        return await self.until(f"/v1/orders/{order['id']}", customer=customer, status="paid")

    async def event(
        self, kind: str, data: Mapping[str, Any] | None = None, *, event_id: str | None = None
    ) -> httpx.Response:
        """Deliver an event to its door."""
        name = next(door for prefix, door in EVENT_ROUTES.items() if kind.startswith(prefix))
        headers, body = binary(
            event_id=event_id or f"evt_{uuid.uuid4().hex}",
            kind=kind,
            subject="test",
            partition_key="test",
            time_="2030-01-01T00:00:00Z",
            data=data or {},
        )
        headers = EventSigner([EVENT_SECRET], self.rt.now).signed(headers, body)
        return await self.http.post(f"{self.url}/_door/{name}/events", content=body, headers=headers)

    async def tick(self) -> None:
        """One round of everything that works without a caller: relay, renewals, reconcile."""
        for kind in ("billing.tick.renewal", "billing.tick.reconcile"):
            answer = await self.event(kind)
            assert answer.status_code == 200, answer.text
        await self.drain()

    async def drain(self) -> None:
        """Deliver the outbox until nothing is ready."""
        for _ in range(200):
            found = await self.relay.run_once()
            await self.relay.settle()
            if not found:
                return
        raise AssertionError("the outbox does not drain")

    async def advance(self, by: timedelta) -> None:
        """Move our clock and the provider's together."""
        with self.db() as db:
            db.execute(ADVANCE, [by])
        answer = await self.control("/control/clock", {"advance_s": by.total_seconds()})
        assert answer.is_success, answer.text

    async def control(self, path: str, body: Any) -> httpx.Response:
        """The sandbox's control surface."""
        return await self.http.post(self.sandbox.url + path, json=body)

    async def books(self) -> dict[str, Any]:
        """The provider's own books."""
        headers = {"authorization": f"Bearer {self.sandbox.api_key}"}
        answer = await self.http.get(self.sandbox.url + "/v1/books", headers=headers)
        return cast("dict[str, Any]", answer.json())

    def db(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.database_url, autocommit=True)

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.db() as db:
            return db.execute(cast("Any", sql), parameters).fetchall()

    def value(self, sql: str, *parameters: Any) -> Any:
        return self.rows(sql, *parameters)[0][0]

    def now(self) -> datetime:
        return cast("datetime", self.value("SELECT boxoffice_now()"))

    async def assert_balanced(self) -> None:
        """The provider's books and our ledger agree to the cent, and nothing is left open."""
        theirs = (await self.books())["currencies"]
        ours = self.rows(
            """
            SELECT currency, sum(amount_minor) FILTER (WHERE source_kind = 'payment'),
                   sum(CASE WHEN credit LIKE 'provider:%%' THEN amount_minor ELSE -amount_minor END)
                       FILTER (WHERE source_kind = 'refund')
            FROM ledger_entries GROUP BY currency
            """
        )
        held = {currency: (int(in_ or 0), int(out or 0)) for currency, in_, out in ours}
        provider = {
            currency: (book["captured_minor"], book["refunded_minor"])
            for currency, book in theirs.items()
            if book["captured_minor"] or book["refunded_minor"]
        }
        assert held == provider, f"our ledger {held}, their books {provider}"


class Gateway:
    """Routes as the gateway does; /_door/{name} leads to a door directly, as the relay is allowed to."""

    def __init__(self, auth: ASGIApp) -> None:
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if direct := re.fullmatch(r"/_door/(\w+)(/.*)", path):
            await doors()[direct[1]]({**scope, "path": direct[2]}, receive, send)
        elif path.startswith("/.well-known"):
            await self._auth(scope, receive, send)
        elif name := door_of(scope["method"], path):
            await doors()[name](scope, receive, send)
        else:
            await Response(status_code=404)(scope, receive, send)


def impatient(cinema: Cinema) -> Cinema:
    """For tests of an outage: connections are waited for as long as in production."""
    wait_s = inspect.signature(connection_pool).parameters["timeout_s"].default
    cinema.rt._pool.timeout = cinema.relay_rt._pool.timeout = wait_s
    return cinema


def patient(rt: Runtime) -> Runtime:
    """Waits for a connection as long as the test does: a busy machine is no outage of PostgreSQL or the provider."""
    rt._pool.timeout = PATIENCE_S
    sandbox = cast("SandboxProvider", cast("HashedCards", rt.providers["sandbox"]).real)
    sandbox._wire._timeout = httpx.Timeout(PATIENCE_S, read=TIMEOUT.read)
    return rt


@asynccontextmanager
async def running_cinema(
    *,
    database_url: str,
    redis_url: str | None,
    sandbox: SandboxHandle,
    secret: str,
    port: int,
    keys_dir: Path,
    **more: Any,
) -> AsyncIterator[Cinema]:
    """Open a cinema on `port`, where the sandbox sends its webhooks. `database_url` is the superuser's."""
    url = f"http://127.0.0.1:{port}"
    settings = Settings(
        database_url=role_url(database_url, Role.DOOR),
        redis_url=redis_url,
        auth_jwks_url=f"{url}/.well-known/jwks.json",
        auth_issuer=AUTH_ISSUER,
        auth_audience=AUDIENCE,
        sandbox_url=sandbox.url,
        sandbox_api_key=sandbox.api_key,  # type: ignore[arg-type]
        sandbox_webhook_secrets=secret,  # type: ignore[arg-type]
        return_url_origins=more.pop("return_url_origins", "http://cinema.test"),
        event_routes={prefix: f"{url}/_door/{name}" for prefix, name in EVENT_ROUTES.items()},
        event_secrets=more.pop("event_secrets", EVENT_SECRET),
        **more,
    )
    seed(database_url)
    keys = SigningKeys.open(keys_dir)
    rt = patient(await Runtime.open(settings))
    relay_settings = settings.model_copy(update={"database_url": role_url(database_url, Role.RELAY)})
    relay_rt = patient(await Runtime.open(relay_settings))
    install(rt)
    auth = build_app(keys, issuer=AUTH_ISSUER, audience=AUDIENCE)
    try:
        async with (
            # As in production. With uvicorn's 5 s a client on a busy machine writes to a connection that is being closed.
            serving(Gateway(auth), port, timeout_keep_alive=KEEP_ALIVE_S),
            httpx.AsyncClient(timeout=PATIENCE_S) as http,
            to_doors() as doors,
        ):
            tokens = verifier(rt)
            tokens._jwks._timeout_s = PATIENCE_S  # a busy machine is no outage of the Auth service either
            await tokens.warm_up()  # as the lifespan does
            sink = HttpSink(doors, settings.event_routes, EventSigner([EVENT_SECRET], rt.now))
            yield Cinema(
                rt=rt,
                url=url,
                sandbox=sandbox,
                keys=keys,
                database_url=database_url,
                http=http,
                relay=Relay(relay_rt, sink),
                relay_rt=relay_rt,
            )
    finally:
        install(None)
        await relay_rt.aclose()
        await rt.aclose()
