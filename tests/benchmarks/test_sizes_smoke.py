"""The costs of an order and of a renewal are counted with tiny sizes. The figures themselves are not looked at."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from benchmarks.meter import Meter, costs_table, rows_table, server_cpu_s
from benchmarks.sizes import Options, measure
from benchmarks.stage import open_stage
from infra.servers.ports import wait_until
from infra.servers.postgres import EmbeddedPostgres
from tests.kit.waiting import PATIENCE_S

pytestmark = pytest.mark.slow


def test_every_leg_counts_what_it_did() -> None:
    with open_stage() as stage:
        options = Options(orders_s=0.5, customers=600, renewals=300, scattered=20, reads=20)
        costs = {cost.title: cost for cost in measure(stage, options, lambda _: None)}
        wal = {cost.title: cost.wal_bytes for cost in costs.values()}
        assert Meter(stage).tables()["payments"].rows == stage.value("SELECT count(*) FROM payments")

    counts = [cost.count for cost in costs.values()]
    assert counts[-4:] == [900, 300, 20, 20]
    assert all(counts)
    payment = costs["its payment, by a webhook"]
    assert payment.tables["ledger_entries"].rows == payment.tables["entitlements"].rows == payment.count
    assert costs["renewal"].tables["outbox"].rows == 5 * 300
    # The pages that a renewal is the first to change after a checkpoint stand in the log as a whole.
    assert wal["renewal, scattered, after a checkpoint"] / 20 > wal["renewal"] / 300
    assert "| renewal | 300 |" in costs_table(list(costs.values()))
    assert "| `ledger_entries` | its payment, by a webhook | 1.00 |" in rows_table(list(costs.values()))


def test_the_time_of_a_backend_counts_while_it_lives_and_after(own_postgres: EmbeddedPostgres) -> None:
    server = own_postgres.start()
    before = server_cpu_s(server.pid)
    with psycopg.connect(server.url()) as db:
        db.execute("SELECT count(*) FROM generate_series(1, 1000000)")
        backend = Path(f"/proc/{db.info.backend_pid}")
        during = server_cpu_s(server.pid)
    wait_until(lambda: not backend.exists(), "end of the backend", timeout_s=PATIENCE_S)
    assert before < during <= server_cpu_s(server.pid)
