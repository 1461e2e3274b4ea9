"""The operator's command line on a real cinema."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest

from shared_lib.cli.main import main
from tests.kit.cinema import Cinema
from tests.kit.command import Capture, Run


async def test_explain_tells_the_story_of_an_order_in_time(cinema: Cinema, run: Run) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    refund = await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": "wrong film"})
    await cinema.drain()
    story = await run("explain", order["id"])
    for word in ("ann@example.com", "refunded", "12.99 EUR", "ordered", "ledger: captured", "access begins", "mail sent",
                 "wrong film", "ledger: refunded", order["payment"]["id"], "--- now ---"):  # fmt: skip
        assert word in story, f"{word} is missing in\n{story}"
    times = re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", story, re.MULTILINE)
    assert times == sorted(times)
    for other in (order["payment"]["id"], refund.json()["id"]):
        assert "ledger: captured" in await run("explain", other)


async def test_explain_shows_a_subscription_with_all_its_orders_and_what_lies_ahead(
    cinema: Cinema, run: Run
) -> None:
    await cinema.bought("prc_basic_month")
    await cinema.advance(timedelta(days=32))
    await cinema.tick()
    (subscription,) = (await cinema.get("/v1/subscriptions"))["items"]
    story = await run("explain", subscription["id"])
    assert story.count("ledger: captured") == 2
    assert story.index("--- now ---") < story.rindex("access ends")


async def test_explain_knows_what_it_cannot_know(run: Run) -> None:
    await run("explain", "ord_01JD0000000000000000000000", status=2)
    assert run.err == "There is no ord_01JD0000000000000000000000.\n"
    await run("explain", "'; DROP TABLE orders", status=2)


@pytest.mark.usefixtures("redis_url")  # a part that doctor asks
async def test_doctor_is_content_with_a_healthy_cinema(cinema: Cinema, run: Run) -> None:
    await cinema.bought("prc_metropolis_buy")
    await cinema.drain()
    report = await run("doctor")
    for part in ("settings", "database", "ledger EUR: 12.99 EUR taken", "redis: answers", "auth keys: answers",
                 "provider sandbox: answers", "dead letters"):  # fmt: skip
        assert f"ok   {part}" in report, report
    assert "BAD" not in report


async def test_doctor_names_what_is_wrong_and_what_to_do(
    cinema: Cinema, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await cinema.bought("prc_metropolis_buy")
    with cinema.db() as db:
        db.execute("UPDATE payments SET captured_minor = 1300 WHERE id = %s", [order["payment"]["id"]])
        db.execute("UPDATE outbox SET available_at = boxoffice_now() - interval '2 minutes'")
        db.execute(
            "INSERT INTO inbox (source, event_id, status, received_at) VALUES ('sandbox', 'e', 'orphaned', now())"
        )
    monkeypatch.setenv("BOXOFFICE_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("BOXOFFICE_SANDBOX_API_KEY", "sk_wrong")
    report = await run("doctor", status=1)
    bad = {line.split(":")[0].removeprefix("BAD  ") for line in report.splitlines() if line.startswith("BAD")}
    assert bad == {
        "ledger EUR", "outbox", "orphaned webhooks", "redis", "provider sandbox", "money not as asked",
        "surplus still held",
    }  # fmt: skip
    assert report.count("     -> ") == len(bad)
    assert "sk_wrong" not in report


async def test_doctor_says_which_settings_do_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXOFFICE_SANDBOX_WEBHOOK_SECRETS", "")
    monkeypatch.setenv("BOXOFFICE_WRITERS", "whsec_very_secret")
    report = await run("doctor", status=1)
    assert "BAD  settings: BOXOFFICE_WRITERS" in report
    assert "whsec_very_secret" not in report


async def test_doctor_finds_a_database_that_is_away_or_empty(
    run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", empty_database_url)
    assert "BAD  database: schema empty" in await run("doctor", status=1)
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", "postgresql://none@127.0.0.1:1/none")
    assert "BAD  database: The database does not answer" in await run("doctor", status=1)


async def test_a_dead_letter_is_seen_read_and_sent_again(cinema: Cinema, run: Run) -> None:
    assert await run("dead-letters", "list") == "No dead letters.\n"
    with cinema.db() as db:
        db.execute(
            "INSERT INTO outbox (event_id, topic, type, subject, partition_key, shard, data, created_at, available_at)"
            " VALUES ('evt_1', 'billing.jobs', 'billing.job.dance', 's', 'ann', 0, '{\"a\": 1}', now(), now())"
        )
    await cinema.drain()
    (id_,) = (row[0] for row in cinema.rows("SELECT id FROM dead_letters"))
    assert f"{id_}  " in await run("dead-letters", "list")
    assert '"a": 1' in await run("dead-letters", "show", id_)
    await run("dead-letters", "replay", status=2)
    await run("dead-letters", "replay", "dlt_none", status=2)
    assert "1 put back" in await run("dead-letters", "replay", id_)
    assert cinema.rows("SELECT event_id, type FROM outbox") == [("evt_1", "billing.job.dance")]
    await run("dead-letters", "replay", id_, status=2)
    assert "0 put back" in await run("dead-letters", "replay", "--all")


async def test_prices_are_added_and_retired(cinema: Cinema, run: Run) -> None:
    assert "12.99 EUR" in await run("catalog", "list")
    made = await run(
        "catalog", "add-price", "prd_solaris", "rental", "299", "EUR", "--title", "Solaris (1972)"
    )
    price_id = made.split(":")[0]
    assert (await cinema.order(price_id))["amount"] == {"minor": 299, "currency": "EUR"}
    plan = await run(
        "catalog", "add-price", "prd_plus", "subscription", "999", "EUR", "--every", "3", "month"
    )
    assert (await cinema.order(plan.split(":")[0]))["kind"] == "subscription"
    await run("catalog", "retire", price_id)
    refused = await cinema.call(
        "POST", "/v1/orders", {"price_id": price_id, "return_url": "http://cinema.test/"}
    )
    assert refused.json()["code"] == "price_retired"
    await run("catalog", "retire", "prc_none", status=2)
    await run("catalog", "add-price", "prd_none", "rental", "299", "EUR", status=2)
    await run("catalog", "add-price", "prd_plus", "rental", "299", "euro", status=2)
    await run("catalog", "add-price", "prd_plus", "subscription", "299", "EUR", status=2)


async def test_a_price_that_cannot_be_charged_is_refused_or_warned_about(cinema: Cinema, run: Run) -> None:
    before = cinema.value("SELECT count(*) FROM prices")
    monthly = ("--every", "1", "month", "--trial-days", "7")
    for kind, minor, currency, *more in (
        ("rental", "299", "EUX"),
        ("rental", "299", "XXX"),
        ("rental", "299", "XTS"),
        ("rental", "0", "ABC"),
        ("rental", "49", "EUR"),
        ("rental", "-1", "EUR"),
        ("subscription", "49", "EUR", *monthly),
        ("purchase", "9999", "KZT"),
    ):
        assert await run("catalog", "add-price", "prd_plus", kind, minor, currency, *more, status=2) == ""
    assert cinema.value("SELECT count(*) FROM prices") == before
    assert "no provider here takes BRL" in await run(
        "catalog", "add-price", "prd_plus", "rental", "299", "BRL"
    )
    for kind, minor, currency, *more in (
        ("rental", "50", "EUR"),
        ("rental", "0", "BRL"),  # free titles are given by ourselves
        ("subscription", "0", "EUR", *monthly),
        ("subscription", "50", "EUR", *monthly),
    ):
        assert "Warning" not in await run("catalog", "add-price", "prd_plus", kind, minor, currency, *more)


async def test_a_price_is_checked_against_every_provider(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXOFFICE_PROVIDERS", "sandbox,benchmarks.instant:InstantProvider")
    assert "Warning" not in await run("catalog", "add-price", "prd_plus", "rental", "299", "EUR")
    monkeypatch.setenv("BOXOFFICE_PROVIDERS", "acme")
    await run("catalog", "add-price", "prd_plus", "rental", "299", "EUR", status=2)
    assert "unknown provider 'acme'" in run.err


async def test_the_test_clock_moves_both_sides_and_never_in_production(
    cinema: Cinema, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cinema.now()
    assert "the real time" in await run("clock", "show")
    assert "32 days" in await run("clock", "advance", "31d24h")
    assert cinema.now() - before > timedelta(days=31)
    await run("clock", "advance", "tomorrow", status=2)
    monkeypatch.setenv("BOXOFFICE_ENVIRONMENT", "production")
    await run("clock", "advance", "1d", status=2)
    assert "production" in run.err


async def test_a_tick_by_hand_renews_what_is_due(cinema: Cinema, run: Run) -> None:
    await cinema.bought("prc_basic_month")
    await cinema.advance(timedelta(days=32))
    assert "was taken" in await run("tick", "renewal")
    await cinema.drain()
    assert cinema.value("SELECT count(*) FROM payments WHERE status = 'succeeded'") == 2
    assert "was taken" in await run("tick", "reconcile")


async def test_without_a_database_it_says_what_to_set(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BOXOFFICE_DATABASE_URL", raising=False)
    assert await asyncio.to_thread(main, ["catalog", "list"]) == 2
    assert "BOXOFFICE_DATABASE_URL" in capsys.readouterr().err
