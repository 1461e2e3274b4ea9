"""`boxoffice doctor`: checks every part; each failed check says what to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared_lib.cli import dead_letters
from shared_lib.cli.ailments import IMBALANCE, NAMED, NAMED_MAX, SET_ASIDE, WAITING, week_ago
from shared_lib.cli.terminal import CannotError, Connection, Output, connected, money, waiting_for, words
from shared_lib.processes import lacking_key
from shared_lib.providers.base import ProviderError
from shared_lib.runtime import Runtime
from shared_lib.settings import Environment, Settings, WrongSettingsError, read_settings
from shared_lib.store import migrations

ANSWER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked part. `todo` is printed when it is not well; `ids` are the first of what is not."""

    well: bool
    name: str
    says: str
    todo: str = ""
    ids: tuple[str, ...] = ()


def doctor() -> Output:
    """Whether all is well, and a line per part."""
    own, findings = _settings()
    if own:
        findings.append(mails(own))
        findings += _database(own)
        with waiting_for("Redis, the Auth service and the providers"):
            findings += asyncio.run(_neighbours(own))
    lines = []
    for one in findings:
        mark = words("ok ", "green") if one.well else words("BAD", "bold red")
        lines.append(mark + words(f"  {one.name}: {one.says}"))
        if not one.well:
            lines.append(words(f"     -> {one.todo}"))
    return Output(lines, [asdict(one) for one in findings], all(one.well for one in findings))


def _settings() -> tuple[Settings | None, list[Finding]]:
    try:
        own = read_settings()
    except WrongSettingsError as wrong:
        return None, [Finding(False, "settings", str(wrong), "compare the environment with .env.example")]
    return own, [Finding(True, "settings", f"{own.environment}, providers {', '.join(own.providers)}")]


def mails(own: Settings) -> Finding:
    """Whether what mails show is the cinema's. Elsewhere than in production the placeholders do."""
    wrong = own.placeholders if own.livemode else []
    says = (
        f"{', '.join(wrong)} left out or a placeholder"
        if wrong
        else f"{own.cinema_name}, {own.cinema_support_email}"
    )
    return Finding(
        not wrong, "mails", says, "notify does not start with it: .env.example explains the setting"
    )


def _database(own: Settings) -> list[Finding]:
    try:
        with connected(own.database_url) as db:
            return _inside(db, own)
    except CannotError as error:
        return [Finding(False, "database", str(error), "start PostgreSQL, or correct BOXOFFICE_DATABASE_URL")]
    except psycopg.Error as error:
        return [Finding(False, "database", type(error).__name__, "python -m shared_lib.store.migrate")]


def _inside(db: Connection, own: Settings) -> list[Finding]:
    newest = max(path.name[:4] for path in Path(migrations.__path__[0]).glob("versions/0*.py"))
    try:
        (version,) = db.execute("SELECT version_num FROM alembic_version").fetchall()[0]
    except psycopg.errors.UndefinedTable:
        version = "empty"
    if version != newest:
        says = f"schema {version}, this code knows {newest}"
        return [Finding(False, "database", says, "python -m shared_lib.store.migrate")]
    found = [Finding(True, "database", f"reachable, schema {version}"), _role(db, own), _test_clock(db, own)]
    for name, sql, what, todo in WAITING:
        rows = db.execute(NAMED.format(query=sql, limit=NAMED_MAX).encode(), week_ago()).fetchall()
        ids = tuple(row[0] for row in rows)
        says = f"{rows[0][1]} {what}: {_named(ids, rows[0][1])}" if rows else "none wait too long"
        found.append(Finding(not rows, name, says, todo, ids))
    return [*found, _dead_letters(), _set_aside(db), _approvals(db), *_balance(db)]


def _named(ids: Sequence[str], count: int) -> str:
    more = f" and {count - len(ids)} more" if count > len(ids) else ""
    return ", ".join(ids) + more


def _dead_letters() -> Finding:
    """Those of both stores: the database's table and, with Kafka, the triggers' topic."""
    try:
        found, count = dead_letters.waiting()
    except CannotError as error:
        return Finding(
            False, "dead letters", str(error), "is Kafka running? Its topic holds those of the triggers"
        )
    if not found:
        return Finding(True, "dead letters", "none wait")
    ids = tuple(line[0] for line in found)
    says = f"{count} events that no door accepted: {_named(ids[:NAMED_MAX], count)}"
    todo = "boxoffice dead-letters show ID, then replay or dismiss it"
    return Finding(False, "dead letters", says, todo, ids)


def _set_aside(db: Connection) -> Finding:
    rows = db.execute(SET_ASIDE.encode()).fetchall()
    if not rows:
        return Finding(True, "set aside", "every row could be decided")
    named = "; ".join(row[0] for row in rows)
    return Finding(
        False, "set aside", f"{rows[0][1]} rows could not be decided: {named}", "runbook: set_aside"
    )


def _approvals(db: Connection) -> Finding:
    """Refunds that a second operator must approve. Waiting for up to a day is normal."""
    rows = db.execute(
        "SELECT id, amount_minor, currency, created_at < boxoffice_now() - interval '1 day' FROM refunds"
        " WHERE status = 'awaiting_approval' ORDER BY created_at"
    ).fetchall()
    waiting = ", ".join(f"{id_} ({money(minor, currency)})" for id_, minor, currency, _ in rows[:NAMED_MAX])
    if len(rows) > NAMED_MAX:
        waiting += f" and {len(rows) - NAMED_MAX} more"
    todo = "a second operator calls POST /v1/refunds/{id}/approve or /reject"
    return Finding(not any(row[3] for row in rows), "refund approvals", waiting or "none wait", todo)


def _role(db: Connection, own: Settings) -> Finding:
    role, powerful = db.execute(
        "SELECT current_user::text, has_table_privilege('ledger_entries', 'UPDATE')"
    ).fetchall()[0]
    says = f"{role}, who may change the ledger" if powerful else role
    wrong = powerful and own.environment is Environment.PRODUCTION
    return Finding(
        not wrong, "role", says, "connect as boxoffice_support or boxoffice_operator: docs/roles.md"
    )


def _test_clock(db: Connection, own: Settings) -> Finding:
    ahead = db.execute("SELECT ahead FROM test_clock").fetchone()
    if ahead is None:
        return Finding(True, "clock", "the real time")
    wrong = own.environment is Environment.PRODUCTION
    return Finding(
        not wrong, "clock", f"{ahead[0]} ahead", "this is no production database: look at DATABASE_URL"
    )


def _balance(db: Connection) -> list[Finding]:
    found = []
    for currency, taken, booked, given, booked_back in db.execute(IMBALANCE.encode()):
        well = (taken, given) == (booked, booked_back)
        says = f"{money(taken, currency)} taken, {money(given, currency)} given back"
        if not well:
            says += f"; the ledger says {money(booked, currency)} and {money(booked_back, currency)}"
        found.append(Finding(well, f"ledger {currency}", says, "runbook: the ledger disagrees"))
    return found or [Finding(True, "ledger", "no money has moved yet")]


async def _neighbours(own: Settings) -> list[Finding]:
    try:
        rt = await Runtime.open(own)
    except ValueError as error:
        return [Finding(False, "providers", str(error), "compare the environment with .env.example")]
    try:
        checks = [_redis(own), _keys(rt), *(_provider(rt, name) for name in rt.providers)]
        return list(await asyncio.gather(*checks))
    finally:
        await rt.aclose()


async def _redis(own: Settings) -> Finding:
    if not own.redis_url:
        return Finding(True, "redis", "not in use")
    todo = "calls work without it, slower; start it, or correct BOXOFFICE_REDIS_URL"
    redis = Redis.from_url(own.redis_url, socket_timeout=2, socket_connect_timeout=2)
    return await _asked("redis", redis.ping, (RedisError, OSError), todo, redis.aclose)


async def _keys(rt: Runtime) -> Finding:
    async def keys() -> object:
        answer = await rt.http.get(rt.settings.auth_jwks_url, timeout=ANSWER_S)
        return len(answer.raise_for_status().json()["keys"]) or _nothing()

    todo = "every caller is refused once the cached keys are too old: check the Auth service and BOXOFFICE_AUTH_JWKS_URL"
    return await _asked("auth keys", keys, (Exception,), todo)


async def _provider(rt: Runtime, name: str) -> Finding:
    if missing := lacking_key(os.environ, name):
        return Finding(True, f"provider {name}", f"not asked: there is no {missing} here")

    async def found() -> object:
        return await rt.providers[name].find_payment("pay_doctor_asks", rt.now())

    todo = "payments wait and are retried automatically; check the provider's status page and our keys"
    return await _asked(f"provider {name}", found, (ProviderError, TimeoutError), todo)


async def _asked(
    name: str,
    question: Callable[[], Awaitable[object]],
    wrong: tuple[type[Exception], ...],
    todo: str,
    after: Callable[[], Awaitable[object]] | None = None,
) -> Finding:
    try:
        async with asyncio.timeout(ANSWER_S):
            await question()
    except wrong as error:
        return Finding(False, name, f"does not answer: {type(error).__name__}", todo)
    finally:
        if after:
            await after()
    return Finding(True, name, "answers")


def _nothing() -> object:
    raise ValueError("an empty key set")
