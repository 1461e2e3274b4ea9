"""One record's way to its door: what travels, what is asked again, what dies and how."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime

import pytest

from infra.servers.ports import free_port
from shared_lib.events.proof import covered
from shared_lib.standard_webhook import decoded_secret, verified_id
from shared_lib.workers.trigger.letters import original_headers
from tests.kit.doors import SECRET, DoorRequest, RecordingDoor, event_headers, opened
from tests.kit.kafka import SHORT, OwnTopic
from tests.kit.waiting import until
from tests.trigger.conftest import NewOwnTopic

pytestmark = pytest.mark.kafka


async def test_a_binary_event_arrives_with_its_attributes_and_the_key_of_its_record(
    own_topic: OwnTopic,
) -> None:
    door = RecordingDoor()
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        headers = [*event_headers("evt_1"), ("ce_title", "Сталкер 100%".encode()), ("unrelated", b"x")]
        own_topic.send("ann@example.com", headers=headers, value=b'{"n": 7}')
        await until(lambda: len(door.heard) == 1)
    heard = door.heard[0]
    assert {
        name: heard.headers[name] for name in ("ce-id", "ce-type", "ce-source", "ce-subject", "content-type")
    } == {
        "ce-id": "evt_1",
        "ce-type": "billing.order.paid",
        "ce-source": "/boxoffice",
        "ce-subject": "ord_1",
        "content-type": "application/json",
    }
    assert heard.key == "ann@example.com"
    assert heard.headers["ce-title"] == "%D0%A1%D1%82%D0%B0%D0%BB%D0%BA%D0%B5%D1%80%20100%25"
    assert "unrelated" not in heard.headers
    assert heard.body == b'{"n": 7}'


async def test_a_structured_event_passes_through_as_it_is(own_topic: OwnTopic) -> None:
    door = RecordingDoor()
    event = {
        "specversion": "1.0",
        "id": "evt_1",
        "source": "/x",
        "type": "cinema.playback.started",
        "data": {"n": 1},
    }
    body = json.dumps(event).encode()
    async with opened(door) as url, own_topic.triggered({"cinema.": url}):
        own_topic.send(
            "ann", value=body, headers=[("content-type", b"application/cloudevents+json; charset=utf-8")]
        )
        await until(lambda: len(door.heard) == 1)
    assert door.heard[0].body == body
    assert door.heard[0].headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert not any(name.startswith("ce-") for name in door.heard[0].headers)


async def test_every_attempt_is_signed_whatever_the_record_carries(own_topic: OwnTopic) -> None:
    answers = [503, 401, 200, 200]

    async def answer(_: DoorRequest) -> int:
        return answers.pop(0)

    door = RecordingDoor(answer)
    whole = json.dumps({"specversion": "1.0", "id": "evt_2", "source": "/x", "type": "billing.x", "data": {}})
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        own_topic.send("ann", headers=[*event_headers("evt_1"), ("ce_title", "Сталкер 100%".encode())])
        own_topic.send(
            "ann", value=whole.encode(), headers=[("content-type", b"application/cloudevents+json")]
        )
        await until(lambda: len(door.heard) == 4)
    for heard in door.heard:
        raw = [(name.encode(), value.encode()) for name, value in heard.headers.items()]
        verified_id(heard.headers, covered(raw, heard.body), [decoded_secret(SECRET)], datetime.now(UTC))


@pytest.mark.parametrize("status", [401, 404, 408, 409, 425, 429, 500, 503])
async def test_not_now_is_asked_again_and_the_next_event_of_the_customer_waits(
    own_topic: OwnTopic, status: int
) -> None:
    answers = [status, status, 200]

    async def answer(heard: DoorRequest) -> int:
        return answers.pop(0) if heard.n == 1 else 204

    door = RecordingDoor(answer)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        own_topic.send("ann", 1)
        own_topic.send("ann", 2)
        await until(lambda: len(door.heard) == 4)
    assert door.order() == {"ann": [1, 1, 1, 2]}
    assert await own_topic.letters() == []
    assert await own_topic.committed() == 2


@pytest.mark.parametrize("status", [302, 400, 403, 410, 422])
async def test_never_is_a_dead_letter_at_once_and_the_next_event_goes_on(
    own_topic: OwnTopic, status: int
) -> None:
    async def answer(heard: DoorRequest) -> int:
        return status if heard.n == 1 else 200

    door = RecordingDoor(answer, said={"kne-reason-2": "bad weather"}, body=b"x" * 2000)
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        own_topic.send("ann", 1)
        own_topic.send("ann", 2)
        await until(lambda: len(door.heard) == 2)
    assert door.order() == {"ann": [1, 2]}
    (letter,) = await own_topic.letters()
    assert letter.record.key == b"ann"
    assert letter.record.value == b'{"n": 1}'
    assert original_headers(letter.record.headers) == event_headers("evt_ann_1")
    assert letter.headers["ce_knativeerrordest"] == url
    assert letter.headers["ce_knativeerrorcode"] == str(status)
    assert base64.b64decode(letter.headers["ce_knativeerrordata"]) == b"x" * 1024
    assert letter.headers["ce_knereason2"] == "bad weather"
    assert letter.origin == (own_topic.name, "0", "0")
    assert str(status) in letter.headers["dead_reason"]
    assert await own_topic.committed() == 2


async def test_patience_ends_before_the_poll_interval_and_the_letter_says_the_last_answer(
    own_topic: OwnTopic,
) -> None:
    async def answer(heard: DoorRequest) -> int:
        return 503 if heard.key == "ann" else 200

    door = RecordingDoor(answer)
    async with opened(door) as url, own_topic.triggered({"billing.": url}, patience=SHORT):
        own_topic.send("ann", 1)
        await until(lambda: len(door.heard) > 1)
        own_topic.send("bob", 1)
        await until(lambda: "bob" in door.order())
        while not (letters := await own_topic.letters()):
            pass
    assert letters[0].headers["ce_knativeerrorcode"] == "503"
    assert len(door.order()["ann"]) > 3


async def test_nobody_there_is_asked_again_and_the_letter_has_no_code(own_topic: OwnTopic) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with own_topic.triggered({"billing.": url}, patience=SHORT):
        own_topic.send("ann", 1)
        while not (letters := await own_topic.letters()):
            pass
    assert letters[0].headers["ce_knativeerrordest"] == url
    assert "ce_knativeerrorcode" not in letters[0].headers
    assert "ConnectError" in letters[0].headers["dead_reason"]


POISON = {
    "without any header": [],
    "of another version": [*event_headers("evt_1"), ("ce_specversion", b"0.3")],
    "without an id": [pair for pair in event_headers("evt_1") if pair[0] != "ce_id"],
    "with a name that HTTP cannot carry": [*event_headers("evt_1"), ("ce_bad name", b"x")],
    "structured but not JSON": [("content-type", b"application/cloudevents+json")],
}


@pytest.mark.parametrize("headers", POISON.values(), ids=POISON)
async def test_a_record_that_is_no_cloudevent_is_a_dead_letter_as_it_came(
    own_topic: OwnTopic, headers: list[tuple[str, bytes]]
) -> None:
    door = RecordingDoor()
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        own_topic.send("ann", headers=headers, value=b"\x00 not an event")
        own_topic.send("ann", 2)
        await until(lambda: len(door.heard) == 1)
    (letter,) = await own_topic.letters()
    assert (letter.record.key, letter.record.value) == (b"ann", b"\x00 not an event")
    assert "no CloudEvent" in letter.headers["dead_reason"]
    assert "ce_knativeerrordest" not in letter.headers
    assert await own_topic.committed() == 2


async def test_a_record_of_nothing_at_all_is_a_dead_letter_too(own_topic: OwnTopic) -> None:
    async with own_topic.triggered({"billing.": "http://127.0.0.1:1"}):
        own_topic.send(None, headers=[("x", b"1")], value=b"")
        while not (letters := await own_topic.letters()):
            pass
    assert (letters[0].record.key, letters[0].record.value) == (None, b"")


async def test_our_events_need_a_door_and_those_of_others_do_not(own_topic: OwnTopic) -> None:
    door = RecordingDoor()
    async with (
        opened(door) as url,
        own_topic.triggered({"billing.order.": url, "billing.order.created": "http://127.0.0.1:1"}),
    ):
        own_topic.send("ann", 1, kind="billing.dance.begun")
        own_topic.send("ann", 2, kind="cinema.playback.paused")
        own_topic.send("ann", 3, kind="billing.order.paid")
        await until(lambda: len(door.heard) == 1)
    assert [letter.headers["dead_reason"] for letter in await own_topic.letters()] == [
        "no door takes billing.dance.begun"
    ]
    assert await own_topic.committed() == 3


async def test_a_letter_that_cannot_be_written_holds_its_lane_and_the_commit(
    new_own_topic: NewOwnTopic,
) -> None:
    own_topic = new_own_topic(dead_letters=False)
    door = RecordingDoor()

    async def answer(heard: DoorRequest) -> int:
        return 422 if heard.id == "evt_ann_1" else 200

    door.answer = answer
    async with opened(door) as url, own_topic.triggered({"billing.": url}):
        for n in (1, 2):
            own_topic.send("ann", n)
        own_topic.send("bob", 1)
        await until(lambda: len(door.heard) == 2)
        await asyncio.sleep(2.0)  # it has failed to write the letter, and more than once
        assert door.order() == {"ann": [1], "bob": [1]}
        assert await own_topic.committed() == 0
        own_topic.open_dead_letters()
        await until(lambda: len(door.heard) == 3)
    assert door.order() == {"ann": [1, 2], "bob": [1]}
    assert len(await own_topic.letters()) == 1
    assert await own_topic.committed() == 3
