"""CloudEvents and phases with what can be kept by no database: refused once, for good, by every door."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from shared_lib.domain.errors import Transient, Unstorable
from shared_lib.events.proof import event_signer
from shared_lib.store.batch import Batcher, connection_pool
from shared_lib.store.transaction import Transaction
from tests.kit.answers import nothing_changes
from tests.kit.cinema import Cinema

DOORS = {
    "create_order": "billing.job.start_payment",
    "refund": "billing.job.start_refund",
    "renew": "billing.job.charge_renewals",
    "notify": "billing.order.paid",
    "playback": "cinema.playback.started",
}
# Fits every one of these doors.
DATA: dict[str, Any] = {
    "payment_id": "pay_x", "refund_id": "ref_x", "payment_ids": ["pay_x"], "customer_id": "ann", "product_id": "prd_x",
    "started_at": "2030-01-01T00:00:00+00:00", "order_id": "ord_x", "product_title": "Metropolis",
    "amount": {"minor": 1, "currency": "EUR"}, "billing_reason": "purchase", "kind": "purchase",
}  # fmt: skip

BAD_DATA: dict[str, bytes] = {
    "NUL": json.dumps(DATA | {name: "a\0" for name in DATA if name.endswith("_id")}).encode(),
    "half a surrogate pair": json.dumps(DATA | {"customer_id": "\ud800", "payment_id": "\udfff"}).encode(),
    "NUL in a field that no door reads": json.dumps(DATA | {"more": {"deep": ["\0"]}}).encode(),
    "NaN": json.dumps(DATA | {"more": float("nan")}).encode(),
    "more than a bigint": json.dumps(DATA | {"more": 2**64}).encode(),
    "forty levels": json.dumps(DATA).encode()[:-1] + b', "more": ' + b"[" * 40 + b"]" * 40 + b"}",
}
BAD_NAMES: dict[str, dict[str, Any]] = {
    "an id with NUL": {"id": "evt_\0"},
    "an id of half a pair": {"id": "\ud800"},
    "an id of 1 kB": {"id": "a" * 1000},
    "an id of 50 kB": {"id": "a" * 50_000},
    "an id with a line end": {"id": "a\nb"},
    "a source with NUL": {"source": "/\0"},
    "a source of 1 kB": {"source": "/" + "a" * 1000},
    "a subject with NUL": {"subject": "a\0"},
    "a subject with an encoded NUL": {"subject": "a%00"},
    "an extension with NUL": {"sequence": "\0"},
    "an extension of 5 kB": {"partitionkey": "a" * 5000},
}


async def post(cinema: Cinema, door: str, headers: dict[str, str], body: bytes) -> httpx.Response:
    """An event of a proven sender."""
    signed = event_signer(cinema.rt).signed(headers, body)
    return await cinema.http.post(f"{cinema.url}/_door/{door}/events", content=body, headers=signed)


async def binary(cinema: Cinema, door: str, body: bytes, **more: str) -> httpx.Response:
    headers = {"ce-specversion": "1.0", "ce-id": "evt_1", "ce-source": "/x", "ce-type": DOORS[door]}
    named = {f"ce-{name}": value for name, value in more.items()}
    return await post(cinema, door, headers | {"content-type": "application/json"} | named, body)


async def structured(cinema: Cinema, door: str, **more: Any) -> httpx.Response:
    event = {"specversion": "1.0", "id": "evt_1", "source": "/x", "type": DOORS[door], "data": DATA} | more
    headers = {"content-type": "application/cloudevents+json"}
    return await post(cinema, door, headers, json.dumps(event).encode())


@pytest.mark.parametrize("what", BAD_DATA)
async def test_data_that_cannot_be_kept_is_refused_for_good_by_every_door(cinema: Cinema, what: str) -> None:
    with nothing_changes(cinema):
        for door in DOORS:
            data = json.loads(BAD_DATA[what])
            for answer in (
                await binary(cinema, door, BAD_DATA[what]),
                await structured(cinema, door, data=data),
            ):
                assert answer.status_code == 422, f"{door}: {answer.status_code} {answer.text}"


@pytest.mark.parametrize("what", BAD_NAMES)
async def test_an_attribute_that_cannot_be_kept_is_refused_for_good_by_every_door(
    cinema: Cinema, what: str
) -> None:
    with nothing_changes(cinema):
        for door in DOORS:
            answer = await structured(cinema, door, **BAD_NAMES[what])
            assert answer.status_code == 422, f"{door}: {answer.status_code} {answer.text}"


async def test_a_trace_that_is_none_is_not_carried_on(cinema: Cinema) -> None:
    """Events are made from it: it would become a header of theirs."""
    order = await cinema.order("prc_metropolis_buy")
    data = json.dumps({"payment_id": order["payment"]["id"]}).encode()
    for trace in ("garbage", "00-" + "a" * 1000, "00-%00"):
        assert (await binary(cinema, "create_order", data, traceparent=trace)).status_code == 200
    assert {row[0] for row in cinema.rows("SELECT traceparent FROM outbox")} <= {None}


async def keep(tx: Transaction, items: Sequence[Any]) -> list[Any]:
    tx.later("INSERT INTO kept SELECT unnest(%s::text[])", [[str(item) for item in items]])
    return list(items)


async def keep_number(tx: Transaction, items: Sequence[int]) -> list[int]:
    await tx.fetch("SELECT sum(n::int) FROM unnest(%s::numeric[]) AS n", [list(items)])
    return list(items)


async def look(tx: Transaction, item: str) -> int:
    return len(await tx.fetch("SELECT 1 FROM kept WHERE what = %s", [item]))


@pytest.mark.parametrize("bad", ["a\0", "\ud800", "x" * 3_000_000])
async def test_of_a_batch_only_the_item_that_cannot_be_kept_is_refused_for_good(
    database_url: str, bad: str
) -> None:
    pool = connection_pool(database_url, connections_max=2)
    await pool.open()
    try:
        batcher = Batcher(pool, writers=1)
        async with pool.connection() as db:
            await db.execute("CREATE TABLE kept (what text PRIMARY KEY, CHECK (length(what) < 4000000))")
        heard = await batcher.run_each(
            keep, ["one", _incompressible() if bad.startswith("x") else bad, "two"]
        )
        assert (heard[0], heard[2]) == ("one", "two")
        with pytest.raises(Unstorable):
            raise heard[1].error
        if not bad.startswith("x"):
            with pytest.raises(Unstorable):
                await batcher.read(look, bad)
        with pytest.raises(Unstorable):
            await batcher.run(keep_number, 10**30)
        assert not heard[1].may_pass
        assert not issubclass(Unstorable, Transient)
    finally:
        await pool.close()


def _incompressible() -> str:
    """A key longer than an index takes, however well it is packed."""
    return "".join(chr(0x100 + (n * 7919) % 5000) for n in range(20_000))
