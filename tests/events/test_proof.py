"""Only a proven sender's event comes through: each of the nine doors, each way to forge one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from infra.sandbox.launch import new_webhook_secret
from shared_lib.contract.routes import DOORS, EVENT_DOORS, EVENT_ROUTES, HTTP_DOORS
from shared_lib.events.gate import BYTES_MAX, OWN_BYTES_MAX
from shared_lib.events.proof import EventSigner, covered
from tests.events.senders import ADDRESSED, TAKERS, event, post, signer, structured
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import EVENT_SECRET, Cinema

Sent = tuple[dict[str, str], bytes]
MINUTES_6 = timedelta(minutes=6)


def signed(cinema: Cinema, door: str, **how: object) -> Sent:
    headers, body = event(door)
    return signer(cinema, **how).signed(headers, body), body  # type: ignore[arg-type]


FORGED: dict[str, Callable[[Cinema, str], Sent]] = {
    "unsigned": lambda _, door: event(door),
    "unsigned and structured": lambda _, door: structured(door),
    "signed with another secret": lambda cinema, door: signed(cinema, door, secret=new_webhook_secret()),
    "replayed late": lambda cinema, door: signed(cinema, door, off_by=-MINUTES_6),
    "signed for the future": lambda cinema, door: signed(cinema, door, off_by=MINUTES_6),
    "another body": lambda cinema, door: (signed(cinema, door)[0], b'{"payment_id": "pay_other"}'),
    "another type": lambda cinema, door: _changed(cinema, door, "ce-type", "billing.order.paid2"),
    "another id": lambda cinema, door: _changed(cinema, door, "ce-id", "evt_other"),
    "another source": lambda cinema, door: _changed(cinema, door, "ce-source", "/elsewhere"),
    "another subject": lambda cinema, door: _changed(cinema, door, "ce-subject", "t"),
    "one more attribute": lambda cinema, door: _changed(cinema, door, "ce-traceparent", "00-1-2-03"),
    "another content type": lambda cinema, door: _changed(
        cinema, door, "content-type", "application/cloudevents+json"
    ),
    "another signature's id": lambda cinema, door: _changed(cinema, door, "webhook-id", "evt_2"),
    "another time": lambda cinema, door: _changed(cinema, door, "webhook-timestamp", "99999999999"),
    "no time": lambda cinema, door: _changed(cinema, door, "webhook-timestamp", ""),
    "no signature": lambda cinema, door: _changed(cinema, door, "webhook-signature", ""),
    "a broken signature": lambda cinema, door: _changed(
        cinema, door, "webhook-signature", "v1,AAAA v1, v2,x ,"
    ),
    "an unknown scheme": lambda cinema, door: _changed(cinema, door, "webhook-signature", "v1a,AAAA"),
    "a bearer token": lambda cinema, door: (
        event(door)[0] | {"authorization": f"Bearer {cinema.token('ann', 'billing:operator')}"},
        event(door)[1],
    ),
}


def _changed(cinema: Cinema, door: str, name: str, value: str) -> Sent:
    headers, body = signed(cinema, door)
    return headers | {name: value}, body


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_event_is_refused_by_every_door(cinema: Cinema, how: str) -> None:
    with nothing_changes(cinema):
        for door in DOORS:
            headers, body = FORGED[how](cinema, door)
            answer = await post(cinema, door, headers, body)
            assert answer.status_code == 401, f"{door}: {answer.status_code} {answer.text}"
            assert_problem(answer, "event_unproven")


async def test_a_signed_event_is_taken_by_the_doors_that_take_events_and_known_to_no_other(
    cinema: Cinema,
) -> None:
    for door in DOORS:
        answer = await post(cinema, door, *signed(cinema, door))
        assert answer.status_code == (200 if door in TAKERS else 404), f"{door}: {answer.text}"


async def test_a_structured_event_is_signed_as_a_whole(cinema: Cinema) -> None:
    for door in TAKERS:
        headers, body = structured(door)
        proven = signer(cinema).signed(headers, body)
        assert (await post(cinema, door, proven, body)).status_code == 200, door
        assert (
            await post(cinema, door, proven, body.replace(b"/boxoffice", b"/boxoffic3"))
        ).status_code == 401


async def test_the_same_signed_event_again_changes_nothing(cinema: Cinema) -> None:
    await cinema.bought("prc_metropolis_rent")
    await cinema.tick()
    for door in TAKERS:
        sent = signed(cinema, door)
        assert (await post(cinema, door, *sent)).status_code == 200
        with nothing_changes(cinema):
            assert (await post(cinema, door, *sent)).status_code == 200, door


async def test_while_a_secret_is_rolled_both_are_believed(cinema: Cinema) -> None:
    headers, body = event("renew")
    old = EventSigner([EVENT_SECRET], cinema.rt.now).signed(headers, body)
    new = EventSigner([new_webhook_secret(), EVENT_SECRET], cinema.rt.now).signed(headers, body)
    assert (await post(cinema, "renew", old, body)).status_code == 200
    assert (await post(cinema, "renew", new, body)).status_code == 401  # the first one signs
    both = old | {"webhook-signature": f"{new['webhook-signature']} {old['webhook-signature']}"}
    assert (await post(cinema, "renew", both, body)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "size", "status"),
    [
        ("billing.order.created", OWN_BYTES_MAX, 200),
        ("billing.order.created", OWN_BYTES_MAX + 1, 413),
        ("cinema.playback.started", OWN_BYTES_MAX + 1, 422),
        ("cinema.playback.started", BYTES_MAX + 1, 413),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_body_has_a_bound(
    cinema: Cinema, kind: str, size: int, status: int, *, streamed: bool
) -> None:
    door = "notify" if kind.startswith("billing.") else "playback"
    body = b'{"customer_id": "ann", "x": "%s"}'
    body = body % (b"x" * (size - len(body) + 2))
    headers = event(door)[0] | {"ce-type": kind}
    headers = signer(cinema).signed(headers, body)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    url = f"{cinema.url}/_door/{door}/events"
    answer = await cinema.http.post(url, content=chunks() if streamed else body, headers=headers)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_without_a_proof_no_byte_of_the_body_is_waited_for(cinema: Cinema) -> None:
    headers, _ = event("renew")
    lines = ["POST /_door/renew/events HTTP/1.1", "host: door", "content-length: 1000"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    host, port = cinema.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(30):
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_door_of_events_alone_says_no_like_every_other(cinema: Cinema) -> None:
    for method, status in (("GET", 405), ("PUT", 405)):
        headers, body = event("renew")
        sent = signer(cinema).signed(headers, body)
        url = f"{cinema.url}/_door/renew/events"
        answer = await cinema.http.request(method, url, content=body, headers=sent)
        assert answer.status_code == status
        assert_problem(answer, "method_not_allowed")
        assert (await cinema.http.request(method, url)).status_code == 401
    for path in ("/", "/anything", "//events", "/robots.txt"):
        assert (await cinema.http.post(f"{cinema.url}/_door/renew{path}")).status_code == 401


def test_a_new_door_is_guarded_until_it_is_said_to_be_one_of_people() -> None:
    takers = set(EVENT_ROUTES.values())
    assert takers == set(TAKERS) == EVENT_DOORS
    assert set(ADDRESSED) == set(DOORS)
    assert set(DOORS) - EVENT_DOORS < HTTP_DOORS < set(DOORS)


def test_what_is_signed_has_one_reading() -> None:
    headers = [(b"ce-b", b"1"), (b"CE-A", b"2"), (b"Content-Type", b"x"), (b"host", b"h")]
    assert covered(headers, b"body") == b"ce-a:2\nce-b:1\ncontent-type:x\n\nbody"
    assert covered(reversed(headers), b"body") == covered(headers, b"body")
    assert covered([(b"ce-a", b"1")], b"ce-b:2\n\n") != covered([(b"ce-a", b"1"), (b"ce-b", b"2")], b"\n")
