"""CloudEvents: one that no door can take is refused and kept as a dead letter, once, and what follows it is delivered."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx

from shared_lib.contract.routes import ROUTES
from shared_lib.events.proof import event_signer
from shared_lib.store.outbox import Outgoing
from shared_lib.workers.relay import Relay
from tests.kit.answers import LEAKS, assert_problem, contents, nothing_changes, order_body
from tests.kit.cinema import Cinema

DOORS = {
    "create_order": "billing.job.start_payment",
    "refund": "billing.job.start_refund",
    "renew": "billing.job.charge_renewals",
    "reconcile": "billing.tick.reconcile",
    "notify": "billing.order.paid",
    "playback": "cinema.playback.started",
}
GOOD = {
    "ce-specversion": "1.0", "ce-id": "evt_1", "ce-source": "/boxoffice", "ce-subject": "s",
    "ce-time": "2030-01-01T00:00:00Z", "content-type": "application/json",
}  # fmt: skip

MALFORMED: dict[str, tuple[dict[str, str | None], bytes]] = {
    "no attributes at all": (dict.fromkeys(GOOD) | {"ce-type": None}, b"{}"),
    "no id": ({"ce-id": None}, b"{}"),
    "no source": ({"ce-source": None}, b"{}"),
    "no type": ({"ce-type": None}, b"{}"),
    "another version": ({"ce-specversion": "0.1"}, b"{}"),
    "no JSON": ({}, b"{"),
    "no object": ({}, b"[]"),
    "a word": ({}, b'"word"'),
    "nothing": ({}, b""),
    "invalid UTF-8": ({}, b'{"a": "\xff"}'),
    "deep nesting": ({}, b"[" * 10_000),
    "structured, without attributes": ({"content-type": "application/cloudevents+json"}, b"{}"),
}


async def post(cinema: Cinema, door: str, changes: dict[str, str | None], body: bytes) -> httpx.Response:
    """An event of a proven sender."""
    headers = {**GOOD, "ce-type": DOORS[door], **changes}
    sent = {name: value for name, value in headers.items() if value}
    signed = event_signer(cinema.rt).signed(sent, body)
    return await cinema.http.post(f"{cinema.url}/_door/{door}/events", content=body, headers=signed)


async def test_a_malformed_event_is_refused_for_good_by_every_door(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for door in DOORS:
            for what, (changes, body) in MALFORMED.items():
                answer = await post(cinema, door, changes, body)
                assert answer.status_code == 422, f"{door}, {what}: {answer.status_code} {answer.text}"
                assert_problem(answer, "event_invalid")
                assert "Traceback" not in answer.text


async def test_data_that_does_not_fit_is_refused_for_good(cinema: Cinema) -> None:
    unfit: dict[str, list[Any]] = {
        "create_order": [{}, {"payment_id": 7}, {"payment_id": None}, {"payment_ids": ["pay_x"]}],
        "refund": [{}, {"refund_id": []}],
        "renew": [{}, {"payment_ids": "pay_x"}, {"payment_ids": [7]}],
        "playback": [{}, {"customer_id": "ann", "product_id": "p", "started_at": "yesterday"},
                     {"customer_id": "ann", "product_id": "p", "started_at": "2030-01-01T00:00:00"}],
    }  # fmt: skip
    with nothing_changes(cinema):
        for door, bodies in unfit.items():
            for body in bodies:
                answer = await post(cinema, door, {}, json.dumps(body).encode())
                assert answer.status_code == 422, f"{door}, {body}: {answer.status_code} {answer.text}"


async def test_an_event_nobody_decided_about_is_refused_for_good(cinema: Cinema) -> None:
    strange = ["billing.order.eaten", "billing.job.dance", "billing", "billing.tick.weekly"]
    with nothing_changes(cinema):
        for door in DOORS:
            for kind in strange:
                answer = await post(cinema, door, {"ce-type": kind}, b"{}")
                assert answer.status_code == 422, f"{door}, {kind}: {answer.status_code} {answer.text}"
                assert_problem(answer, "event_invalid")


async def test_jobs_about_what_is_not_there_have_nothing_to_do(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for kind, data in (
            ("billing.job.start_payment", {"payment_id": "pay_nobody"}),
            ("billing.job.start_refund", {"refund_id": "ref_nobody"}),
            ("billing.job.find_refunds", {"payment_id": "pay_nobody"}),
            ("billing.job.charge_renewals", {"payment_ids": []}),
            ("billing.job.charge_renewals", {"payment_ids": ["pay_nobody"] * 3}),
        ):
            assert (await cinema.event(kind, data)).status_code == 200, kind


def put_in_outbox(cinema: Cinema, kind: str, data: dict[str, Any], key: str = "ann") -> None:
    with cinema.db() as db:
        db.execute(
            "INSERT INTO outbox (event_id, topic, type, subject, partition_key, shard, data, created_at, available_at)"
            " VALUES ('evt_' || gen_random_uuid(), 'billing.jobs', %s, 's', %s, 0, %s, boxoffice_now(),"
            " boxoffice_now())",
            [kind, key, json.dumps(data)],
        )


async def test_a_poisoned_row_becomes_a_dead_letter_and_what_stands_behind_it_is_delivered(
    cinema: Cinema,
) -> None:
    poison: dict[str, dict[str, Any]] = {
        "billing.job.start_payment": {"payment_id": 7},
        "billing.job.start_refund": {},
        "billing.job.find_refunds": {"payment_id": 7},
        "billing.job.charge_renewals": {"payment_ids": "all"},
        "billing.job.tell_auto_renew": {"customer_id": "ann", "subscription_id": 7, "change": 1},
        "billing.job.dance": {},
        "weather.changed": {},
    }
    for kind, data in poison.items():
        put_in_outbox(cinema, kind, data)
    put_in_outbox(cinema, "billing.job.charge_renewals", {"payment_ids": []})
    await cinema.drain()
    assert cinema.value("SELECT count(*) FROM outbox") == 0
    dead = cinema.rows("SELECT type, body, reason FROM dead_letters")
    assert {kind: json.loads(bytes(body)) for kind, body, _ in dead} == poison
    for _, _, reason in dead:
        assert reason
        assert not LEAKS.search(reason.replace(cinema.url, ""))


async def test_a_trace_that_is_none_and_a_name_in_another_script_do_not_stop_the_relay(
    cinema: Cinema,
) -> None:
    for customer in ("анна", "a b", 'q"', "100%", "Łukasz 🎬"):
        headers = {"authorization": f"Bearer {cinema.token(customer)}", "traceparent": "x" * 300}
        answer = await cinema.call("POST", "/v1/orders", order_body(), customer=None, headers=headers)
        assert answer.status_code == 201, answer.text
        await cinema.pay(answer.json()["checkout_url"])
        await cinema.until(f"/v1/orders/{answer.json()['id']}", customer=customer, status="paid")
    await cinema.drain()
    assert cinema.value("SELECT count(*) FROM outbox") == 0
    assert cinema.value("SELECT count(*) FROM dead_letters") == 0
    assert cinema.value("SELECT count(*) FROM notifications WHERE status <> 'sending'") == 5


async def test_a_trace_is_carried_to_what_follows(cinema: Cinema) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await cinema.call("POST", "/v1/orders", order_body(), headers={"traceparent": trace})
    assert cinema.rows("SELECT DISTINCT traceparent FROM outbox") == [(trace,)]


async def test_ticking_twice_does_everything_once(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    await cinema.advance(timedelta(days=32))
    for event_id in ("evt_one", "evt_one", "evt_two"):
        assert (await cinema.event("billing.tick.renewal", event_id=event_id)).status_code == 200
    await cinema.tick()
    before = contents(cinema)
    await cinema.tick()
    assert contents(cinema) == before
    assert cinema.value("SELECT count(*) FROM payments WHERE status = 'succeeded'") == 2
    await cinema.assert_balanced()


async def test_the_first_tick_after_a_silence_charges_what_is_due_once(cinema: Cinema) -> None:
    await cinema.bought("prc_basic_month")
    ends = cinema.value("SELECT period_end FROM subscriptions")
    await cinema.advance(ends - cinema.now() + timedelta(days=1))
    await cinema.tick()
    assert cinema.rows("SELECT period_n, period_start, status FROM subscriptions") == [(2, ends, "active")]
    assert cinema.value("SELECT count(*) FROM payments") == 2
    await cinema.assert_balanced()


async def test_the_gateway_leads_no_event_in(cinema: Cinema) -> None:
    body = json.dumps({"payment_id": "pay_x"}).encode()
    headers = {**GOOD, "ce-type": "billing.job.start_payment"}
    prefixes = sorted({route.path.partition("{")[0].rstrip("/") for route in ROUTES})
    paths = [
        "/events",
        "/v1/events",
        "//events",
        "/v1/../events",
        "/_events",
        "/livez",
        "/readyz",
        "/_/health",
        "/_/ready",
        "/metrics",
    ]
    paths += [
        f"{prefix}{tail}" for prefix in prefixes for tail in ("/events", "/../events", "/%2e%2e/events")
    ]
    with nothing_changes(cinema):
        for path in paths:
            answer = await cinema.http.post(cinema.url + path, content=body, headers=headers)
            assert answer.status_code in (401, 404, 405), f"{path}: {answer.status_code} {answer.text}"
            if answer.status_code != 404:
                assert_problem(answer, answer.json()["code"])


class Exploding:
    """A sink with a bug."""

    async def deliver(self, event: Outgoing) -> None:
        raise KeyError(event.type)


async def test_a_bug_in_the_sink_buries_one_event_and_holds_up_nobody(cinema: Cinema) -> None:
    put_in_outbox(cinema, "billing.job.charge_renewals", {"payment_ids": []})
    relay = Relay(cinema.relay_rt, Exploding())
    assert await relay.run_once() == 1
    await relay.settle()
    assert cinema.value("SELECT count(*) FROM outbox") == 0
    assert cinema.rows("SELECT type FROM dead_letters") == [("billing.job.charge_renewals",)]
