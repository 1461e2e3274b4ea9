"""Six tickets of support and on-call, each solved with the command line alone."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from infra.servers.moto import EmbeddedMoto
from tests.kit.answers import assert_problem, order_body
from tests.kit.cinema import Cinema
from tests.kit.command import Run
from tests.kit.steps import (
    BASIC,
    FILM,
    LATER_HARD,
    give_back,
    operator_gives_back,
    opt_out,
    payments,
    provider_down,
    renewed,
    to_period_end,
    watchable,
)
from tests.kit.waiting import until

ANN = "ann@example.com"


async def no_webhooks(cinema: Cinema) -> None:
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})


async def as_json(run: Run, *arguments: str, status: int = 0) -> Any:
    return json.loads(await run(*arguments, "--json", status=status))


def line_of(text: str, words: str) -> str:
    """The one line that holds the words."""
    (found,) = (line for line in text.splitlines() if words in line)
    return found


def id_in(line: str, prefix: str) -> str:
    (found,) = re.findall(rf"\b{prefix}_\w+", line)
    return str(found)


async def test_charged_and_cannot_watch(cinema: Cinema, run: Run) -> None:
    await no_webhooks(cinema)
    order = await cinema.order(FILM)
    await cinema.pay(order["checkout_url"])
    told = await run("explain", ANN.upper())
    assert "access: none was given; the order is pending" in told
    payment = id_in(line_of(told, "provider will be asked"), "pay")
    assert payment == order["payment"]["id"]
    assert told.index("--- now ---") < told.index("provider will be asked")

    assert "pending -> succeeded" in await run("ask", payment, "--as", "olga", "--because", "ticket 4711")
    assert await watchable(cinema) == ["prd_metropolis"]
    told = await run("explain", order["id"])
    assert "access: prd_metropolis may be watched for good (paid)" in told
    assert "by olga: ticket 4711" in line_of(told, "repair: ask")
    assert (await as_json(run, "repairs", payment))[0]["by"] == "olga"
    assert "is over, succeeded" in await run("ask", payment)
    assert cinema.value("SELECT count(*) FROM payments") == 1


async def test_the_provider_is_down(cinema: Cinema, run: Run) -> None:
    await cinema.bought(BASIC)
    await to_period_end(cinema)
    await provider_down(cinema)
    await cinema.event("billing.tick.renewal")
    await cinema.drain()
    assert "BAD  provider sandbox" in await run("doctor", status=1)
    (subscription,) = (row[0] for row in cinema.rows("SELECT id FROM subscriptions"))
    told = await run("explain", subscription)
    assert "then honored while the renewal is charged" in line_of(told, "access: prd_basic may be watched")
    payment = id_in(line_of(told, "the provider did not answer, it may have taken the money"), "pay")

    assert "no_answer: RemoteProtocolError" in line_of(told, "provider error")
    said = "the provider did not answer (Unavailable no_answer: RemoteProtocolError); still unknown"
    assert said in await run("ask", payment, status=1)
    counted = payments(cinema, "checks")
    for _ in range(3):
        await run("ask", payment, status=1)
    assert payments(cinema, "checks") == counted, "reconcile asks as soon as if the operator had not asked"
    await cinema.advance(timedelta(hours=2))
    assert payment in line_of(await run("doctor", status=1), "BAD  unknown payments")
    await provider_down(cinema, down=False)
    assert "unknown -> succeeded" in await run("ask", payment)
    assert payments(cinema) == ["succeeded", "succeeded"]
    assert "next renewal" in await run("explain", subscription)


async def test_why_a_provider_gave_no_answer_is_told_without_secrets(cinema: Cinema, run: Run) -> None:
    order = await cinema.bought(FILM)
    await provider_down(cinema, how="503")
    refund = (await operator_gives_back(cinema, order)).json()["id"]
    await no_webhooks(cinema)
    pending = await cinema.call("POST", "/v1/orders", order_body("prc_stalker_buy"))
    assert pending.status_code in (201, 202, 503), pending.text
    told = await run("explain", "ann")
    for id_, class_ in ((refund, "OutcomeUnknown"), (cinema.value(LAST_PAYMENT), "OutcomeUnknown")):
        line = next(line for line in told.splitlines() if "provider error" in line and id_ in line)
        assert f"{class_} " in line
        assert "HTTP 503" in line
    assert cinema.sandbox.api_key not in told
    failed = [
        one for one in (await as_json(run, "explain", refund))["moments"] if one["what"] == "provider error"
    ]
    assert [one["id"] for one in failed] == [refund]


LAST_PAYMENT = "SELECT id FROM payments ORDER BY id DESC LIMIT 1"


async def test_dead_letters_are_sent_again_or_dismissed_with_a_reason(cinema: Cinema, run: Run) -> None:
    with cinema.db() as db:
        for n in (1, 2):
            db.execute(
                "INSERT INTO outbox (event_id, topic, type, subject, partition_key, shard, data, created_at, available_at)"
                " VALUES (%s, 'billing.jobs', 'billing.job.dance', 's', 'ann', 0, '{}', now(), now())",
                [f"evt_{n}"],
            )
    await cinema.drain()
    first, second = (line["id"] for line in await as_json(run, "dead-letters", "list"))
    said = line_of(await run("doctor", status=1), "BAD  dead letters")
    assert first in said
    assert second in said

    await run("dead-letters", "dismiss", first, status=2)  # without a reason
    assert "is dismissed: no such dance" in await run(
        "dead-letters", "dismiss", first, "--because", "no such dance"
    )
    await run("dead-letters", "dismiss", first, "--because", "again", status=2)
    await run("dead-letters", "replay", first, status=2)
    assert "1 put back" in await run("dead-letters", "replay", "--all", "--as", "olga")
    assert "ok   dead letters: none wait" in await run("doctor")
    done = [(one["verb"], one["target"], one["because"]) for one in await as_json(run, "repairs")]
    assert done == [("replay", second, None), ("dismiss", first, "no such dance")]
    assert cinema.value("SELECT count(*) FROM dead_letters") == 2
    assert (await as_json(run, "dead-letters", "show", first))["dismissed_at"]


async def test_a_hard_decline(cinema: Cinema, run: Run) -> None:
    await cinema.bought(BASIC, number=LATER_HARD)
    await renewed(cinema)
    await cinema.drain()
    told = await run("explain", "ann")
    assert "declined: hard" in told
    access = line_of(told, "access: prd_basic may be watched until")
    assert "in grace" in access
    past_due = cinema.value("SELECT past_due_at FROM subscriptions")
    assert f"{past_due + timedelta(days=7):%Y-%m-%d %H:%M}" in access
    assert f"{past_due + timedelta(days=21):%Y-%m-%d %H:%M}" in line_of(told, "gives up")
    assert "another card" in line_of(told, "no further retry")
    assert told.index("--- now ---") < told.index("access ends  ")
    await cinema.advance(timedelta(days=8))
    await cinema.tick()
    assert "access: prd_basic may NOT be watched" in await run("explain", ANN)


async def test_a_mail_did_not_arrive(cinema: Cinema, run: Run, moto: EmbeddedMoto) -> None:
    order = await cinema.bought(FILM)
    other = await cinema.bought(BASIC)
    await cinema.drain()
    told = await run("explain", order["id"])
    mail = id_in(line_of(told, "mail sent"), "ntf")  # of this order alone
    assert other["id"] not in told
    (listed,) = await as_json(run, "notifications", "list", order["id"])
    assert (listed["id"], listed["status"]) == (mail, "sent")
    assert len(await as_json(run, "notifications", "list", ANN)) == 2

    assert f"sent again to {ANN}" in await run("notifications", "resend", mail, "--because", "in spam")
    await cinema.drain()
    subjects = [str(one.message["Subject"]) for one in moto.sent()]
    assert len(subjects) == 3
    assert subjects.count(subjects[-1]) == 2
    assert (await as_json(run, "repairs", mail))[0]["because"] == "in spam"
    assert mail in line_of(await run("explain", order["id"]), "repair: resend")
    assert "repair: resend" not in await run("explain", other["id"])

    cinema.rows(
        "UPDATE notifications SET status = 'unknown', created_at = now() - interval '90 days' RETURNING id"
    )
    assert mail in line_of(await run("doctor", status=1), "BAD  mails")
    assert len(await as_json(run, "notifications", "list", "--undelivered")) == 2
    for one in await as_json(run, "notifications", "list"):
        await run("notifications", "dismiss", one["id"], "--because", "it arrived after all")
    assert "ok   mails" in await run("doctor")
    await run("notifications", "resend", "ntf_none", status=2)


async def test_a_refund_after_20_days(cinema: Cinema, run: Run) -> None:
    order = await cinema.bought(FILM, number="4000000000007726")  # its refunds take some time
    await cinema.advance(timedelta(days=20))
    assert_problem(await give_back(cinema, order), "refund_window_over")
    told = await run("explain", order["id"])
    assert told.index("own refund ends") < told.index("--- now ---")
    assert "an operator does: POST /v1/refunds" in line_of(told, "own refund ends")

    await no_webhooks(cinema)
    refund = (await operator_gives_back(cinema, order)).json()["id"]
    told = await run("explain", refund)
    assert f"may NOT be watched (access rests while {refund} is on its way" in told
    assert 'by oscar ("goodwill")' in told
    await cinema.advance(timedelta(minutes=1))
    assert "pending -> succeeded" in await run("ask", refund)
    told = await run("explain", refund)
    assert "ledger: refunded" in told
    assert "access was revoked" in told


async def test_explain_tells_who_opted_out_when_and_which_webhooks_came(cinema: Cinema, run: Run) -> None:
    order = await cinema.bought(BASIC)
    await opt_out(cinema)
    await until(lambda: bool(cinema.rows("SELECT 1 FROM inbox WHERE about IS NOT NULL")))
    told = await run("explain", "ann")
    assert "by customer ann" in line_of(told, "opted out  ")
    assert "subscription ends" in told
    assert "webhook done" in told
    data = await as_json(run, "explain", order["id"])
    assert data["customer"]["email"] == ANN
    assert data["access"][0]["watchable"] is True
    assert {"webhook done", "opted out", "subscription ends"} <= {one["what"] for one in data["moments"]}


@pytest.mark.parametrize(
    "command",
    [
        ("ask", "pay_none"),
        ("ask", "ord_1"),
        ("explain", "carol@example.com"),
        ("notifications", "list", "ord_none"),
        ("notifications", "list", "carol@example.com"),
    ],
    ids=" ".join,
)
async def test_what_does_not_exist_is_said_in_words(run: Run, command: tuple[str, ...]) -> None:
    assert await run(*command, status=2) == ""
    assert command[-1] in run.err


async def test_explain_says_when_a_customer_may_have_older_orders(
    cinema: Cinema, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared_lib.cli.explain.ORDERS_MAX", 2)
    first = await cinema.order(FILM)
    assert "older orders" not in await run("explain", "ann")
    await cinema.order(BASIC)
    await cinema.order("prc_stalker_buy")
    told = await run("explain", "ann")
    assert "the newest 2" in line_of(told, "older orders")
    assert first["id"] not in told
    assert (await as_json(run, "explain", ANN))["newest_orders_alone"] is True
    assert "older orders" not in await run("explain", first["id"])
