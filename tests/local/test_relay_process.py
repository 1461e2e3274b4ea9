"""The relay as it runs in production: `python -m shared_lib.workers.relay`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest

from infra.sandbox.launch import new_webhook_secret
from infra.servers.access import role_url
from infra.servers.leash import spawn
from shared_lib.processes import Role
from tests.kit.waiting import PATIENCE_S


class BusyOnce(BaseHTTPRequestHandler):
    """A door that says 503 once, then takes everything."""

    calls = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        BusyOnce.calls += 1
        self.send_response(503 if BusyOnce.calls == 1 else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy_door() -> Iterator[str]:
    BusyOnce.calls = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), BusyOnce) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _relay(database_url: str, door: str, secret: str) -> subprocess.Popen[bytes]:
    settings = {
        "DATABASE_URL": role_url(database_url, Role.RELAY),
        "EVENT_ROUTES": json.dumps({"billing.": door}),
        "EVENT_SECRETS": new_webhook_secret(),
        "SANDBOX_URL": "http://127.0.0.1:9",
        "SANDBOX_WEBHOOK_SECRETS": secret,
    }
    environment = os.environ | {f"BOXOFFICE_{name}": value for name, value in settings.items()}
    argv = [sys.executable, "-m", "shared_lib.workers.relay"]
    return spawn(argv, output=subprocess.DEVNULL, env=environment, cwd=Path(__file__).parents[2])


def test_wrong_settings_end_a_process_at_once(database_url: str) -> None:
    assert _relay(database_url, "http://127.0.0.1:9", "whsec_short").wait(PATIENCE_S) == 1


def test_a_relay_of_its_own_puts_off_what_a_door_cannot_take_now(database_url: str, busy_door: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(
            "INSERT INTO outbox (event_id, topic, type, subject, partition_key, shard, data, created_at, available_at)"
            " VALUES ('evt_1', 'billing.events', 'billing.order.paid', 'ord_1', 'ann', 0, '{}', now(), now())"
        )
        relay = _relay(database_url, busy_door, new_webhook_secret())
        try:
            deadline = time.monotonic() + PATIENCE_S
            while db.execute("SELECT 1 FROM outbox").fetchone() and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            relay.terminate()
            relay.wait(PATIENCE_S)
        assert db.execute("SELECT reason FROM dead_letters").fetchall() == []
        assert BusyOnce.calls == 2
