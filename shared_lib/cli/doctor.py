"""`boxoffice doctor`: every part is asked, every line that is not well says what to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared_lib.cli.terminal import CannotError, Connection, connected, money
from shared_lib.processes import lacking_key
from shared_lib.providers.base import ProviderError
from shared_lib.runtime import Runtime
from shared_lib.settings import Environment, Settings
from shared_lib.store import migrations

OUTBOX_OLDEST_MAX_S: Final = 60
ANSWER_S: Final = 5.0
_NAMED_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """`todo` is said when it is not well."""

    well: bool
    name: str
    says: str
    todo: str = ""


# (name, query of one number, what it counts, what to do when there are any)
_WAITING: Final = (
    (
        "outbox",
        f"SELECT count(*) FROM outbox WHERE available_at < boxoffice_now() - interval '{OUTBOX_OLDEST_MAX_S} seconds'",
        f"events older than {OUTBOX_OLDEST_MAX_S} s wait to be told",
        "is the relay running, and do the doors answer? Its log says `dead_letter` or `relay_disconnected`",
    ),
    (
        "unknown payments",
        "SELECT count(*) FROM payments WHERE status = 'unknown' AND created_at < boxoffice_now() - interval '1 hour'",
        "payments are unknown for more than an hour",
        "runbook: unknown payments",
    ),
    (
        "parked webhooks",
        "SELECT count(*) FROM inbox WHERE status = 'parked' AND received_at < boxoffice_now() - interval '10 minutes'",
        "webhooks wait for what they are about",
        "runbook: parked webhooks",
    ),
    (
        "orphaned webhooks",
        "SELECT count(*) FROM inbox WHERE status = 'orphaned'",
        "webhooks are about nothing we know",
        "runbook: orphaned webhooks",
    ),
    (
        "dead letters",
        "SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL",
        "events could not be taken by anybody",
        "boxoffice dead-letters list",
    ),
    (
        "titles paid twice",
        """SELECT count(*) FROM (
               SELECT FROM entitlements WHERE kind <> 'subscription' AND status = 'active'
                  AND (ends_at IS NULL OR ends_at > boxoffice_now())
               GROUP BY customer_id, product_id, kind HAVING count(*) > 1) AS twice""",
        "times a customer has paid for the same title twice",
        "runbook: titles paid twice",
    ),
    (
        "mails",
        """SELECT count(*) FROM notifications WHERE status IN ('unknown', 'refused')
           AND created_at > boxoffice_now() - interval '1 day'""",
        "mails of the last day were refused, or may have left or not",
        "runbook: notifications unknown",
    ),
    (
        "money not as asked",
        """SELECT count(*) FROM payments p JOIN orders o ON o.id = p.order_id
           WHERE p.status = 'succeeded' AND (p.captured_minor, p.currency) <> (o.amount_minor, o.currency)
             AND p.created_at > boxoffice_now() - interval '7 days'""",
        "payments of this week took other money than their orders asked for",
        "runbook: payment_not_as_asked; it goes back without you",
    ),
    (
        "surplus still held",
        """SELECT count(*) FROM payments p
           CROSS JOIN LATERAL (SELECT coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS returned,
                                      coalesce(sum(amount_minor) FILTER (WHERE status NOT IN ('failed', 'rejected')), 0) AS asked_for,
                                      count(*) FILTER (WHERE status = 'failed') AS failed
                               FROM refunds r WHERE r.payment_id = p.id AND r.surplus) r
           CROSS JOIN LATERAL (SELECT CASE WHEN p.surplus THEN p.captured_minor
                                           ELSE greatest(0, p.captured_minor - p.amount_minor) END AS minor) s
           WHERE p.status = 'succeeded' AND (p.surplus OR p.captured_minor > p.amount_minor)
             AND r.returned < s.minor AND (r.failed > 0 OR r.asked_for < s.minor)""",
        "payments hold money that is not ours and did not go back at once",
        "runbook: surplus_held; boxoffice explain pay_..., or POST /v1/refunds with its payment_id",
    ),
    (
        "refunds",
        "SELECT count(*) FROM refunds WHERE status = 'failed' AND NOT surplus AND created_at > boxoffice_now() - interval '7 days'",
        "refunds of this week failed: their customers wait for money",
        "boxoffice explain ref_...; give it back by another way, or ask again with POST /v1/refunds",
    ),
)  # fmt: skip

# Each of them waits for a person, so they are named: the oldest first.
SET_ASIDE: Final = """
    SELECT kind || ' ' || id || ': ' || reason, count(*) OVER () FROM set_aside ORDER BY set_aside_at, kind, id LIMIT 10
"""

_IMBALANCE: Final = """
    WITH taken AS (SELECT currency, sum(captured_minor) AS minor FROM payments GROUP BY 1),
         given AS (SELECT currency, sum(amount_minor) AS minor FROM refunds WHERE status = 'succeeded' GROUP BY 1),
         booked AS (
             SELECT currency,
                    coalesce(sum(amount_minor) FILTER (WHERE leg LIKE 'captured%'), 0) AS taken,
                    coalesce(sum(amount_minor) FILTER (WHERE leg = 'refunded'), 0)
                        - coalesce(sum(amount_minor) FILTER (WHERE leg = 'returned'), 0) AS given
             FROM ledger_entries GROUP BY 1)
    SELECT currency, coalesce(taken.minor, 0)::bigint, coalesce(booked.taken, 0)::bigint,
           coalesce(given.minor, 0)::bigint, coalesce(booked.given, 0)::bigint
    FROM taken FULL JOIN given USING (currency) FULL JOIN booked USING (currency) ORDER BY 1
"""


def doctor() -> tuple[bool, str]:
    """Whether all is well, and a line per part."""
    own, findings = _settings()
    if own:
        findings += _database(own)
        findings += asyncio.run(_neighbours(own))
    lines = [f"{'ok ' if one.well else 'BAD'}  {one.name}: {one.says}" for one in findings]
    for index, one in reversed(list(enumerate(findings))):
        if not one.well:
            lines.insert(index + 1, f"     -> {one.todo}")
    return all(one.well for one in findings), "\n".join(lines)


def _settings() -> tuple[Settings | None, list[Finding]]:
    try:
        own = Settings()
    except ValidationError as error:
        # Only places and messages: the input of an error may be a secret.
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'together'}: {one['msg']}" for one in error.errors()
        )
        return None, [Finding(False, "settings", wrong, "compare the environment with .env.example")]
    return own, [Finding(True, "settings", f"{own.environment}, providers {', '.join(own.providers)}")]


def _database(own: Settings) -> list[Finding]:
    try:
        with connected(own.database_url) as db:
            return _inside(db, own)
    except CannotError as error:
        return [Finding(False, "database", str(error), "start PostgreSQL, or mend BOXOFFICE_DATABASE_URL")]
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
    for name, sql, what, todo in _WAITING:
        (count,) = db.execute(sql.encode()).fetchall()[0]
        found.append(Finding(not count, name, f"{count} {what}" if count else "none wait too long", todo))
    return [*found, _set_aside(db), _approvals(db), *_balance(db)]


def _set_aside(db: Connection) -> Finding:
    rows = db.execute(SET_ASIDE.encode()).fetchall()
    if not rows:
        return Finding(True, "set aside", "every row could be decided")
    named = "; ".join(row[0] for row in rows)
    return Finding(
        False, "set aside", f"{rows[0][1]} rows could not be decided: {named}", "runbook: set_aside"
    )


def _approvals(db: Connection) -> Finding:
    """Refunds that a second operator must approve. They wait well for a day."""
    rows = db.execute(
        "SELECT id, amount_minor, currency, created_at < boxoffice_now() - interval '1 day' FROM refunds"
        " WHERE status = 'awaiting_approval' ORDER BY created_at"
    ).fetchall()
    waiting = ", ".join(f"{id_} ({money(minor, currency)})" for id_, minor, currency, _ in rows[:_NAMED_MAX])
    if len(rows) > _NAMED_MAX:
        waiting += f" and {len(rows) - _NAMED_MAX} more"
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
    for currency, taken, booked, given, booked_back in db.execute(_IMBALANCE.encode()):
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
    todo = "calls work without it, slower; start it, or mend BOXOFFICE_REDIS_URL"
    redis = Redis.from_url(own.redis_url, socket_timeout=2, socket_connect_timeout=2)
    return await _asked("redis", redis.ping, (RedisError, OSError), todo, redis.aclose)


async def _keys(rt: Runtime) -> Finding:
    async def keys() -> object:
        answer = await rt.http.get(rt.settings.auth_jwks_url, timeout=ANSWER_S)
        return len(answer.raise_for_status().json()["keys"]) or _nothing()

    todo = (
        "nobody is let in once the kept keys are gone: look at the Auth service and BOXOFFICE_AUTH_JWKS_URL"
    )
    return await _asked("auth keys", keys, (Exception,), todo)


async def _provider(rt: Runtime, name: str) -> Finding:
    if missing := lacking_key(os.environ, name):
        return Finding(True, f"provider {name}", f"not asked: there is no {missing} here")

    async def found() -> object:
        return await rt.providers[name].find_payment("pay_doctor_asks", rt.now())

    todo = "payments wait and are asked about again by themselves; look at the provider's status page and our keys"
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
