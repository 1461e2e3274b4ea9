"""What every refusal must look like, and that it changed nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from shared_lib.contract.problems import PROBLEMS
from tests.kit.cinema import RETURN_URL, Cinema

LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|psycopg|sqlalchemy|\bSELECT\b|\bINSERT\b|\bUPDATE\b|relation \"|127\.0\.0\.1|"
    r"Error\(|Exception|whsec_|sk_sandbox|postgres",
)
TITLES = {str(code): (one.status, one.title) for code, one in PROBLEMS.items()}


def assert_problem(answer: httpx.Response, code: str, status: int | None = None) -> dict[str, Any]:
    """RFC 9457 with the code and the status that docs/problems.md promises, and no internal detail."""
    documented, title = TITLES[code]
    assert answer.status_code == (status or documented), f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["code"], body["status"], body["title"]) == (code, documented, title), body
    assert body["type"] == f"urn:boxoffice:problem:{code}"
    assert body["detail"]
    assert not LEAKS.search(answer.text), answer.text
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) > 0
    return body


def contents(cinema: Cinema) -> dict[str, tuple[int, str | None]]:
    """How many rows each table has, and a digest of all of them."""
    tables = cinema.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return {
        table: cinema.rows(f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t")[
            0
        ]
        for (table,) in tables
    }


@contextmanager
def nothing_changes(cinema: Cinema) -> Iterator[None]:
    """No row is added, removed or changed inside the block."""
    before = contents(cinema)
    yield
    after = contents(cinema)
    assert {t: after[t] for t in after if after[t] != before[t]} == {}


async def alter(cinema: Cinema, *statements: str) -> None:
    """Run the statements as the superuser while doors run; in a thread, because a door in this loop may hold the lock."""

    def run() -> None:
        with cinema.db() as db:
            for statement in statements:
                db.execute(statement.encode())

    await asyncio.to_thread(run)


def order_body(price_id: str = "prc_metropolis_buy", **more: Any) -> dict[str, Any]:
    return {"price_id": price_id, "return_url": RETURN_URL, **more}
