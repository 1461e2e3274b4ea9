"""A change of auto_renew is mailed once it has stood for a minute, and only when it differs from what was mailed last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from infra.demo.town import UNFINISHED
from infra.servers.moto import EmbeddedMoto
from shared_lib.billing.jobs import MAILED_AFTER
from shared_lib.phases.notifications import ClaimedNotification, ClaimNotification, claim_notifications
from shared_lib.queries.mails import MailEvent, mail_facts
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, opt_out, period_end, renewed, subscription, to

JOB, FACT = "billing.job.tell_auto_renew", "billing.subscription.auto_renew_changed"
ON, OFF = ("Automatic renewal of Cinema Basic is " + word for word in ("on", "off"))
# What a busy machine may need from a change to the look at its mail: the clock runs meanwhile.
A_MOMENT = timedelta(seconds=10)


@pytest.fixture
async def subscribed(cinema: Cinema, moto: EmbeddedMoto) -> Cinema:
    """Ann has a subscription, and its receipt has left."""
    await cinema.bought(BASIC)
    await cinema.drain()
    assert len(moto.sent()) == 1
    return cinema


@pytest.fixture
def moto_again(moto: EmbeddedMoto) -> Iterator[None]:
    yield
    moto.start()  # the test may have killed it


def mails(moto: EmbeddedMoto) -> list[str]:
    """Subjects, without that of the first receipt."""
    return [str(mail.message["Subject"]).replace("\u00a0", " ") for mail in moto.sent()][1:]


async def passes(cinema: Cinema, time: timedelta = MAILED_AFTER + A_MOMENT) -> None:
    """Time passes, and what is due then is delivered."""
    await cinema.advance(time)
    await cinema.drain()


def job(cinema: Cinema) -> tuple[str, dict[str, Any]]:
    """The id and the data of the newest job, which leaves the outbox: the test delivers it."""
    ((event_id, data),) = cinema.rows(
        "SELECT event_id, data FROM outbox WHERE type = %s ORDER BY id DESC LIMIT 1", JOB
    )
    with cinema.db() as db:
        db.execute("DELETE FROM outbox WHERE type = %s", [JOB])
    return event_id, data


@pytest.mark.parametrize("pause", [timedelta(), timedelta(seconds=25)])
@pytest.mark.parametrize(("toggles", "told"), [(10, []), (9, [OFF])])
async def test_many_toggles_are_one_mail_or_none(
    subscribed: Cinema, moto: EmbeddedMoto, toggles: int, told: list[str], pause: timedelta
) -> None:
    cinema = subscribed
    for n in range(toggles):
        await opt_out(cinema, auto_renew=n % 2 == 1)
        if pause:  # jobs become due one by one, each after a newer change
            await passes(cinema, pause)
    facts = "SELECT count(*) FROM outbox WHERE type = %s"
    assert pause or cinema.value(facts, FACT) == toggles
    await passes(cinema, MAILED_AFTER - pause - A_MOMENT)
    assert mails(moto) == []
    await passes(cinema)
    assert mails(moto) == told
    assert cinema.value("SELECT version FROM subscriptions") == 1 + toggles, "one fact per change"
    assert cinema.value("SELECT count(*) FROM outbox") == 0
    assert cinema.rows("SELECT status FROM notifications WHERE event_type = %s", JOB) == [("sent",)] * len(
        told
    )


async def test_two_changes_an_hour_apart_are_two_mails(subscribed: Cinema, moto: EmbeddedMoto) -> None:
    for auto_renew in (False, True):
        await opt_out(subscribed, auto_renew=auto_renew)
        await passes(subscribed, timedelta(hours=1))
    assert mails(moto) == [OFF, ON]


async def test_other_facts_of_the_subscription_are_no_newer_change(
    subscribed: Cinema, moto: EmbeddedMoto
) -> None:
    cinema = subscribed
    await to(cinema, await period_end(cinema) - timedelta(seconds=30))
    await opt_out(cinema)
    await opt_out(cinema, auto_renew=True)
    await opt_out(cinema)
    await opt_out(cinema, auto_renew=True)
    assert (await renewed(cinema))["period"]["n"] == 2
    await opt_out(cinema)
    await passes(cinema, timedelta(seconds=30))
    with cinema.db() as db:  # other changes of the subscription in between
        db.execute("UPDATE subscriptions SET version = version + 1")
    await passes(cinema)
    assert mails(moto) == ["Receipt: Cinema Basic renewed, €7.99", OFF]


async def test_a_job_that_comes_again_is_one_mail(subscribed: Cinema, moto: EmbeddedMoto) -> None:
    cinema = subscribed
    await opt_out(cinema)
    event_id, data = job(cinema)
    answers = await asyncio.gather(*(cinema.event(JOB, data, event_id=event_id) for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    await opt_out(cinema, auto_renew=True)
    for _ in range(2):  # and once more after a newer change
        assert (await cinema.event(JOB, data, event_id=event_id)).status_code == 200
    assert mails(moto) == [OFF]
    _, newest = job(cinema)
    for n in range(2):  # under another id it is another event, and the state was told
        assert (await cinema.event(JOB, newest, event_id=f"evt_{n}")).status_code == 200
    assert mails(moto) == [OFF, ON]


async def test_a_mail_that_may_have_left_is_not_sent_again(subscribed: Cinema, moto: EmbeddedMoto) -> None:
    cinema = subscribed
    await opt_out(cinema)
    event_id, data = job(cinema)
    known = await cinema.rt.read(mail_facts, MailEvent(type=JOB, customer_id="ann", data=data))
    assert known is not None
    claim = ClaimNotification(event_id=event_id, event_type=JOB, customer_id="ann", change=known.change)
    assert isinstance(await cinema.rt.run(claim_notifications, claim), ClaimedNotification)
    # Here its process dies.
    assert (await cinema.event(JOB, data, event_id=event_id)).status_code == 503
    await cinema.advance(timedelta(minutes=3))
    assert (await cinema.event(JOB, data, event_id=event_id)).status_code == 200
    assert cinema.rows("SELECT status FROM notifications WHERE event_type = %s", JOB) == [("unknown",)]
    assert mails(moto) == []


@pytest.mark.usefixtures("moto_again")
@pytest.mark.parametrize("back", [False, True])
async def test_a_mail_that_waited_for_the_mail_service_says_what_is_true_then(
    subscribed: Cinema, moto: EmbeddedMoto, *, back: bool
) -> None:
    cinema = subscribed
    await opt_out(cinema)
    moto.kill()
    await passes(cinema)
    failed = "SELECT status FROM notifications WHERE event_type = %s ORDER BY created_at"
    assert cinema.rows(failed, JOB) == [("failed",)]
    if back:
        await opt_out(cinema, auto_renew=True)
    moto.start()
    moto.verify_domain("cinema.example")
    await passes(cinema, timedelta(hours=1))
    told = [str(mail.message["Subject"]) for mail in moto.sent()]
    assert told == ([ON] if back else [OFF])
    assert cinema.rows(failed, JOB) == ([("skipped",), ("sent",)] if back else [("sent",)])
    assert cinema.value("SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize("ticked", [True, False])
async def test_of_a_subscription_that_ends_within_the_minute_only_the_end_is_told(
    subscribed: Cinema, moto: EmbeddedMoto, *, ticked: bool
) -> None:
    cinema = subscribed
    await to(cinema, await period_end(cinema) - timedelta(seconds=30))
    await opt_out(cinema)
    if not ticked:  # the job comes before the tick that ends the subscription
        await passes(cinema)
        assert mails(moto) == []
    assert (await renewed(cinema))["status"] == "canceled"
    await passes(cinema)
    assert mails(moto) == ["Cinema Basic has ended"]


async def test_of_a_refund_that_ends_the_subscription_within_the_minute_the_change_is_not_told(
    subscribed: Cinema, moto: EmbeddedMoto
) -> None:
    cinema = subscribed
    await opt_out(cinema)
    order_id = cinema.value("SELECT id FROM orders")
    wanted = {"order_id": order_id, "reason": "sorry", "access": "end_now"}
    answer = await cinema.call("POST", "/v1/refunds", wanted, customer="olga", scopes=("billing:operator",))
    assert answer.is_success, answer.text
    assert (await subscription(cinema))["status"] == "canceled"
    await passes(cinema)
    assert sorted(mails(moto)) == ["Cinema Basic has ended", "Refund: €7.99 for Cinema Basic"]


async def test_a_job_about_what_its_customer_does_not_have_is_refused_for_good(
    subscribed: Cinema, moto: EmbeddedMoto
) -> None:
    cinema = subscribed
    await opt_out(cinema)
    _, data = job(cinema)
    unfit: list[dict[str, Any]] = [
        {}, data | {"customer_id": "bob"}, data | {"subscription_id": "sub_nobody"}, data | {"change": "1"},
        data | {"change": None}, {name: data[name] for name in ("customer_id", "subscription_id")},
    ]  # fmt: skip
    for one in unfit:
        assert (await cinema.event(JOB, one)).status_code == 422, one
    for change in (0, -1, 2):  # older, or not committed
        assert (await cinema.event(JOB, data | {"change": change})).status_code == 200
    forged = data | {"auto_renew": True, "status": "past_due"}
    assert (await cinema.event(JOB, forged)).status_code == 200
    assert mails(moto) == [OFF]


async def test_a_stack_is_at_rest_while_a_job_waits_for_its_minute(subscribed: Cinema) -> None:
    cinema = subscribed
    events = f"SELECT events FROM ({UNFINISHED}) AS unrest"
    await opt_out(cinema)
    assert cinema.value(events) == 1, "the fact"
    await cinema.drain()
    assert cinema.value(events) == 0
    await cinema.advance(MAILED_AFTER)
    assert cinema.value(events) == 1, "the job is due"
    await cinema.drain()
    assert cinema.value(events) == 0
