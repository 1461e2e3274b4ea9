"""A story in which Boxoffice sends every statement that it has. What takes a crash or a broken row to send is sent directly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import psycopg

from shared_lib.billing.replies import Key
from shared_lib.billing.reports import SavedMethodRef
from shared_lib.domain.messages import SetAside, SetAsideKind
from shared_lib.phases.housekeeping import purge_letters, purge_repairs
from shared_lib.phases.notifications import ClaimNotification, claim_notifications
from shared_lib.phases.outgoing import Dead, Delivered, PutOff, Replay, replay_dead_letters, settle_deliveries
from shared_lib.phases.records import BatchResult, delete_acknowledged
from shared_lib.phases.undecided import set_aside, take_back
from shared_lib.phases.webhooks import Received, park_webhooks, put_off_webhooks
from shared_lib.queries.account import order_versions
from shared_lib.queries.due import parked
from shared_lib.queries.floor import NO_FLOOR, Floor, Raise, raised
from shared_lib.queries.health import refuse_power_over_the_ledger, refuse_test_clock, serves
from shared_lib.queries.mails import MailEvent, mail_facts
from shared_lib.queries.outbox import (
    ReadBatch,
    Ready,
    events_of,
    ready_events,
    ready_ids,
    unsent,
    unsent_ids,
    unsent_of,
)
from shared_lib.queries.refunds import refundable_ref
from shared_lib.store.failures import note_failures
from shared_lib.store.keys import claim_keys, look_at_keys, release_keys
from shared_lib.store.methods import disable_method, mark_deleted, update_card
from shared_lib.store.outbox import SHARDS
from shared_lib.store.repairs import Repair
from shared_lib.store.rows import vacate
from shared_lib.store.transaction import Transaction, transaction
from shared_lib.store.trials import release_trial
from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.outbox import facts, post
from tests.kit.steps import (
    BASIC,
    FILM,
    PLUS,
    RENTAL,
    bank_says,
    give_back,
    operator_gives_back,
    ref_of,
    subscription,
)
from tests.kit.webhooks import deliver, paid

ALL = tuple(range(SHARDS))


async def every_statement(cinema: Cinema, webhook_secret: str) -> None:
    """Raises AssertionError when a step did not go as it should."""
    await _parked(cinema, webhook_secret)
    await _bought_and_returned(cinema)
    await _played(cinema)
    await _subscribed(cinema)
    await _delivered(cinema)
    await _directly(cinema)
    await cinema.advance(timedelta(days=500))
    await cinema.tick()


async def _bought_and_returned(cinema: Cinema) -> None:
    film = await cinema.bought(FILM)
    body = {"price_id": FILM, "return_url": RETURN_URL}
    for _ in range(2):
        await cinema.call("POST", "/v1/orders", body, key="twice", customer="eve")
    await cinema.call("POST", "/v1/orders", body | {"price_id": "prc_none"}, key="refused")
    for path in ("/v1/catalog", "/v1/orders", "/v1/entitlements", f"/v1/orders/{film['id']}"):
        await cinema.get(path)
    refund = await operator_gives_back(cinema, film)
    assert refund.status_code < 300, refund.text
    again = await cinema.bought(FILM, customer="cem")
    assert (await give_back(cinema, again)).status_code in (200, 201, 202, 403, 404)
    await cinema.call(
        "GET", f"/v1/refunds/{refund.json()['id']}", customer="oscar", scopes=("billing:operator",)
    )
    mine = {"order_id": again["id"], "reason": "wish"}
    assert (await cinema.call("POST", "/v1/refunds", mine, customer="cem")).status_code < 300
    await cinema.tick()


async def _played(cinema: Cinema) -> None:
    """Before its payment, so that it is parked; then applied."""
    order = await cinema.order(RENTAL, customer="bob")
    data = {
        "customer_id": "bob",
        "product_id": order["product"]["id"],
        "started_at": cinema.now().isoformat(),
    }
    assert (await cinema.event("cinema.playback.started", data, event_id="evt_early")).status_code == 200
    assert cinema.value("SELECT status FROM inbox WHERE event_id = 'evt_early'") == "parked"
    await cinema.pay(order["checkout_url"])
    await cinema.until(f"/v1/orders/{order['id']}", customer="bob", status="paid")
    await cinema.advance(timedelta(minutes=2))
    await cinema.tick()


async def _subscribed(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await cinema.bought(PLUS, customer="dan")
    (method,) = (await cinema.get("/v1/payment-methods"))["items"]
    body = {"price_id": RENTAL, "return_url": RETURN_URL, "payment_method_id": method["id"]}
    await bank_says(cinema, "insufficient_funds")
    await cinema.call("POST", "/v1/orders", body)
    await cinema.call("POST", "/v1/orders", body | {"price_id": PLUS})  # a trial, whose card is looked up
    await cinema.drain()
    mine = (await subscription(cinema))["id"]
    await cinema.call("PATCH", f"/v1/subscriptions/{mine}", {"auto_renew": False})
    await cinema.tick()
    await cinema.call("PATCH", f"/v1/subscriptions/{mine}", {"auto_renew": True})
    await cinema.advance(timedelta(days=32))
    await cinema.tick()
    await cinema.tick()
    assert (await cinema.call("DELETE", f"/v1/payment-methods/{method['id']}?confirm=true")).status_code < 300
    assert (await cinema.call("DELETE", f"/v1/payment-methods/{method['id']}")).status_code < 500


async def _parked(cinema: Cinema, webhook_secret: str) -> None:
    """A webhook about a payment that Boxoffice does not know: parked, put off, and orphaned in the end."""
    body = json.dumps(paid("pay_none", "ord_none")).encode()
    assert (await deliver(cinema, body, webhook_secret)).is_success
    await cinema.rt.run(put_off_webhooks, ("sandbox", "msg_1"))
    await cinema.advance(timedelta(hours=1))
    (known,) = [one for one in await cinema.rt.read(parked, 10) if one.event_id == "msg_1"]
    assert known.event
    await cinema.rt.run(park_webhooks, Received(provider="sandbox", event=known.event))
    order = await cinema.order(FILM, customer="fay")
    with cinema.db() as db:  # and one about a payment that is known now
        db.execute(
            "INSERT INTO inbox (source, event_id, status, payload, received_at, next_try_at)"
            " SELECT source, 'msg_2', status,"
            " replace(replace(replace(payload::text, 'sp_pay_none', %s), 'pay_none', %s), 'msg_1', 'msg_2')::jsonb,"
            " received_at, now() FROM inbox WHERE event_id = 'msg_1'",
            [ref_of(cinema, order), order["payment"]["id"]],
        )
    await cinema.tick()
    assert cinema.value("SELECT status FROM inbox WHERE event_id = 'msg_2'") == "done"
    await cinema.advance(timedelta(days=2))
    await cinema.tick()


async def _delivered(cinema: Cinema) -> None:
    """The relays' statements, with rows that are put off, buried, replayed and unreadable."""
    rt = cinema.relay_rt
    await post(cinema.rt, *facts("ann", 4), *facts("bob", 2))
    events = await rt.read(ready_events, Ready(shards=ALL))
    assert len(events) >= 6
    ids = [event.row_id for event in events]
    floor = Floor(id=ids[2], named=ids[:2])
    for whole in (False, True):
        marked = await rt.read(raised, Raise(floor=NO_FLOOR))
        await rt.read(raised, Raise(floor=marked, whole=whole))
    await rt.read(ready_ids, Ready(shards=ALL, floor=floor, busy=[("billing.events", "bob")]))
    await rt.read(events_of, ids)
    batch = ReadBatch(shards=ALL, floor=floor, on_their_way=ids[3:4])
    await rt.read(unsent, batch)
    await rt.read(unsent_ids, batch)
    await rt.read(unsent_of, ids)
    await rt.run(settle_deliveries, PutOff(event=events[0], wait=timedelta(seconds=1), counts=True))
    await rt.run(settle_deliveries, Dead(event=events[1], reason="422"))
    await rt.run(settle_deliveries, Delivered(event=events[2]))
    await rt.run(delete_acknowledged, BatchResult(acknowledged=ids[3:4], refused={ids[4]: "too large"}))
    operator = Replay(repair=Repair(made_by="olga", verb="replay"))
    async with _transaction(cinema) as tx:
        await replay_dead_letters(tx, [operator])
    await cinema.drain()


async def _directly(cinema: Cinema) -> None:
    rt = cinema.rt
    aside = SetAside(kind=SetAsideKind.PAYMENT, id="pay_none", reason="broken")
    await rt.run(set_aside, aside)
    await rt.run(take_back, (aside.kind, aside.id))
    wanted = ClaimNotification(event_id="evt_1", event_type="t", customer_id="ann")
    for _ in range(2):
        await rt.run(claim_notifications, wanted)
    order_id, payment_id = cinema.rows("SELECT order_id, id FROM payments LIMIT 1")[0]
    await rt.read(order_versions, [order_id])
    await rt.read(refundable_ref, payment_id)
    data = {"refund_id": cinema.value("SELECT id FROM refunds LIMIT 1")}
    await rt.read(mail_facts, MailEvent(type="billing.refund.succeeded", customer_id="ann", data=data))
    for question in (serves, refuse_test_clock, refuse_power_over_the_ledger):
        with suppress(RuntimeError):  # this database has a test clock
            await rt.read(question, None)
    key = Key("ann", "POST /v1/orders", "crashed", b"f" * 32)
    async with _transaction(cinema) as tx:
        await claim_keys(tx, [(key, order_id)])
    with cinema.db() as db:  # its owner died
        db.execute("UPDATE idempotency_keys SET locked_until = boxoffice_now() WHERE key = 'crashed'")
    async with _transaction(cinema) as tx:
        await claim_keys(tx, [(key, order_id)])
        await look_at_keys(tx, [key])
        release_keys(tx, [key])
        method = SavedMethodRef(provider="sandbox", method_id="tok_none")
        disable_method(tx, "pm_none")
        mark_deleted(tx, "sandbox", "tok_none")
        update_card(tx, "sandbox", method)
        release_trial(tx, order_id)
        note_failures(tx, "payments", [("pay_none", "timeout")])
        note_failures(tx, "refunds", [("ref_none", "timeout")])
        vacate(tx, ["ord_none"])
    await rt.run(purge_letters, "dlt_none")
    await rt.run(purge_repairs, "rpr_none")


@asynccontextmanager
async def _transaction(cinema: Cinema) -> AsyncIterator[Transaction]:
    """As an operator's command, or a test, runs one."""
    async with (
        await psycopg.AsyncConnection.connect(cinema.database_url, autocommit=True) as connection,
        transaction(connection) as tx,
    ):
        await tx.clock()
        yield tx
