"""What is typed beside a running `make up`: settings of one's own, a token, an order from another origin, mails, logs, new data."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from infra.local.home import NOT_RUNNING, Home, Running
from tests.kit.waiting import PATIENCE_S, until
from tests.local.launched import ROOT, launched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
FRONTEND = "http://localhost:5173"


def typed(data: Path, *words: str, fails: bool = False) -> str:
    """The output of a command of the local stack; of an error its text."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
    }
    done = subprocess.run(
        [sys.executable, "-m", "infra.local", *words, "--data", data, "--env-file", data / ".env"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return (done.stderr if fails else done.stdout).strip()


async def test_a_frontend_of_its_own_and_everything_that_is_typed_beside_it(
    server_folders: Callable[[], Path],
) -> None:
    data = server_folders()
    data.mkdir(exist_ok=True)
    (data / ".env").write_text(
        f"BOXOFFICE_RETURN_URL_ORIGINS={FRONTEND}\nBOXOFFICE_OPEN_ORDERS_MAX=1\n"
        "BOXOFFICE_MAIL_FROM=Kino <kasse@kino.example>\nBOXOFFICE_KAFKA_BOOTSTRAP=elsewhere:9092\n"
    )
    assert typed(data, "mails", fails=True) == NOT_RUNNING
    with launched("up", data) as up:
        up.until("The log follows")
        assert "Not used, because the stack has its own: BOXOFFICE_KAFKA_BOOTSTRAP" in up.output
        running = Home(data).found()
        assert running
        assert "No mail yet" in typed(data, "mails")
        bearer = {"authorization": f"Bearer {typed(data, 'token', 'bob')}", "origin": FRONTEND}
        async with httpx.AsyncClient(
            base_url=running.gateway, headers=bearer, timeout=PATIENCE_S
        ) as frontend:
            await a_film_is_bought(frontend)
            await until(lambda: "Metropolis" in typed(data, "mails", "--customer", "bob"))
        inbox = typed(data, "mails", "1")
        assert "from Kino <kasse@kino.example> to bob@example.com" in inbox
        assert "Paid: €12.99" in inbox
        assert typed(data, "mails", "2", fails=True) == "There is no mail 2 here; the newest is 1."
        assert "No mail to ann yet" in typed(data, "mails", "--customer", "ann")
        log = typed(data, "logs", "--no-follow")
        assert re.search(r"^\d\d:\d\d:\d\d create_order POST /v1/orders 201 in ", log, re.MULTILINE), log
        assert "billing.tick" not in log
        assert "renewals_claimed" not in log
        shift_clock(running)
        assert "Stop it with Ctrl-C" in typed(data, "reset", fails=True)
        assert up.end(signal.SIGTERM) == 0
    token, ports = (data / "customer.token").read_text(), (data / "ports.json").read_text()
    assert "Start again: make up" in typed(data, "reset")
    assert not (data / "postgres").exists()
    (data / ".env").unlink()
    with launched("up", data) as up:
        up.until("The log follows")
        running = Home(data).found()
        assert running
        # The gateway returns to its usual port, which another stack may have had until now.
        assert json.loads((data / "ports.json").read_text())["webhook"] == json.loads(ports)["webhook"]
        assert "days ahead" not in up.output
        nothing_is_left_but_the_token_works(running, token)


def nothing_is_left_but_the_token_works(running: Running, token: str) -> None:
    bearer = {"authorization": f"Bearer {token}"}
    orders = httpx.get(f"{running.gateway}/v1/orders", headers=bearer, timeout=PATIENCE_S)
    assert (orders.status_code, orders.json()["items"]) == (200, [])
    with psycopg.connect(running.database_url) as db:
        (now,) = db.execute("SELECT boxoffice_now()").fetchone() or (None,)
    assert now
    assert abs(now - datetime.now(UTC)) < timedelta(hours=1)


async def a_film_is_bought(frontend: httpx.AsyncClient) -> None:
    """From the frontend's origin, with one more order than its setting allows."""
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key"}
    allowed = await frontend.options("/v1/orders", headers=preflight)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, FRONTEND)
    body = {"price_id": "prc_metropolis_buy", "return_url": f"{FRONTEND}/thanks"}
    ordered = await frontend.post("/v1/orders", json=body, headers={"idempotency-key": "first"})
    assert (ordered.status_code, ordered.headers["access-control-allow-origin"]) == (201, FRONTEND)
    another = await frontend.post(
        "/v1/orders", json=body | {"price_id": "prc_stalker_buy"}, headers={"idempotency-key": "second"}
    )
    assert another.json()["code"] == "too_many_open_orders"
    form = {"number": "4242424242424242", "expires": "12 / 34", "cvc": "123"}
    paid = await frontend.post(ordered.json()["checkout_url"], data=form)
    assert paid.headers["location"].startswith(f"{FRONTEND}/thanks")


def shift_clock(running: Running) -> None:
    with psycopg.connect(running.database_url) as db:
        db.execute(
            "INSERT INTO test_clock (one, ahead) VALUES (true, '400 days') ON CONFLICT (one) DO UPDATE SET ahead = '400 days'"
        )
