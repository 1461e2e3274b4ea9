"""The `boxoffice` command under boxoffice_support: it looks at everything, and every verb that writes is refused in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.servers.access import role_url
from shared_lib.processes import Role
from tests.kit.cinema import Cinema
from tests.kit.command import Run

WRITING = [
    ("catalog", "retire", "prc_metropolis_buy"),
    ("catalog", "add-price", "prd_metropolis", "purchase", "999", "EUR"),
    ("dead-letters", "replay", "--all"),
    ("clock", "advance", "1d"),
]


@pytest.fixture
def as_support(cinema: Cinema, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", role_url(cinema.database_url, Role.SUPPORT))
    monkeypatch.delenv("BOXOFFICE_SANDBOX_API_KEY")
    return run


async def test_support_may_look_at_everything(cinema: Cinema, as_support: Run) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    assert "ledger: captured" in await as_support("explain", order["id"])
    report = await as_support("doctor")
    assert "ok   role: boxoffice_support" in report
    assert "ok   provider sandbox: not asked: there is no BOXOFFICE_SANDBOX_API_KEY here" in report
    for looking in (["outbox"], ["catalog", "list"], ["dead-letters", "list"], ["clock", "show"]):
        assert await as_support(*looking)


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
async def test_support_is_told_which_role_a_writing_command_wants(
    cinema: Cinema, as_support: Run, command: tuple[str, ...]
) -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO dead_letters (id, event_id, topic, type, partition_key, headers, body, reason, dead_at)"
            " VALUES ('dlt_1', 'evt_1', 'billing.events', 'x', 'ann', '{}', '{}', 'y', %s)",
            [datetime.now(UTC)],
        )
    await as_support(*command, status=2)
    assert "The database role of this shell may not do that: permission denied for table" in as_support.err
    assert "boxoffice_operator" in as_support.err
    assert cinema.value("SELECT count(*) FROM prices WHERE sellable_until IS NOT NULL") == 0
    assert cinema.value("SELECT count(*) FROM dead_letters WHERE replayed_at IS NOT NULL") == 0
    assert cinema.value("SELECT count(*) FROM test_clock") == 0
