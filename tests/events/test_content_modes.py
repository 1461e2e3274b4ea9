"""CloudEvents as the SDKs send them: binary, structured and batched. Of a batch, no event is lost because another one fails."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent

from shared_lib.contract.problems import status_of
from shared_lib.domain.errors import Transient
from shared_lib.events.delivered import EVENTS_MAX, take_batch
from shared_lib.events.incoming import Incoming, InvalidEventError, incoming
from shared_lib.replies import RefusedError
from tests.events.senders import ADDRESSED, TAKERS, post, signer
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import Cinema

BATCH = {"content-type": "application/cloudevents-batch+json; charset=UTF-8"}


def whole(door: str, event_id: str, **changes: Any) -> dict[str, Any]:
    kind, data = ADDRESSED[door]
    return {"specversion": "1.0", "id": event_id, "source": "/x", "type": kind, "data": data} | changes


def play(event_id: str, **changes: Any) -> dict[str, Any]:
    return whole("playback", event_id, **changes)


async def send(
    cinema: Cinema, door: str, headers: dict[str, str], content: bytes | list[Any]
) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await post(cinema, door, signer(cinema).signed(headers, body), body)


async def test_every_door_takes_an_event_in_each_mode_of_the_sdk(cinema: Cinema) -> None:
    for door in TAKERS:
        kind, data = ADDRESSED[door]
        event = CloudEvent({"type": kind, "source": "/x", "subject": "s"}, dict(data))
        for headers, body in (to_binary(event), to_structured(event)):
            answer = await send(cinema, door, dict(headers), bytes(body))
            assert answer.status_code == 200, f"{door}, {headers}: {answer.text}"
        answer = await send(cinema, door, BATCH, [whole(door, "evt_1"), whole(door, "evt_2")])
        assert answer.status_code == 200, f"{door}: {answer.text}"


async def test_a_batch_may_be_empty_and_no_batch_goes_without_a_proof(cinema: Cinema) -> None:
    assert (await send(cinema, "playback", BATCH, [])).status_code == 200
    body = json.dumps([play("evt_1")]).encode()
    with nothing_changes(cinema):
        assert_problem(await post(cinema, "playback", BATCH, body), "event_unproven")
        signed = signer(cinema).signed(BATCH, body)
        for changed, tampered in (
            (signed, body.replace(b"ann", b"bob")),
            ({**signed, "content-type": "application/cloudevents+json"}, body),
        ):
            assert_problem(await post(cinema, "playback", changed, tampered), "event_unproven")


async def test_one_bad_event_of_a_batch_stops_no_other_and_is_named(cinema: Cinema) -> None:
    bad = [play("evt_2", data={}), "word", play("evt_4", specversion="9"), play("evt_5", type="billing.x")]
    sent = [play("evt_1"), *bad, play("evt_6")]

    answer = await send(cinema, "playback", BATCH, sent)

    problem = assert_problem(answer, "event_invalid")
    assert [one["at"] for one in problem["events"]] == [1, 2, 3, 4]
    assert [one.get("id") for one in problem["events"]] == ["evt_2", None, "evt_4", "evt_5"]
    assert {one["code"] for one in problem["events"]} == {"event_invalid"}
    assert taken(cinema) == ["evt_1", "evt_6"]
    # Its sender repeats it, or puts it away and an operator sends it again: what was handled has no second effect.
    assert (await send(cinema, "playback", BATCH, sent)).status_code == 422
    assert taken(cinema) == ["evt_1", "evt_6"]


def taken(cinema: Cinema) -> list[str]:
    return [str(one) for one in json.loads(cinema.value(TAKEN))]


TAKEN = "SELECT coalesce(json_agg(event_id ORDER BY event_id), '[]')::text FROM inbox WHERE right(source, 2) = '/x'"


@pytest.mark.parametrize(
    "content",
    [b"{}", b"{", b'"x"', b"[" * 5000, b'[{"id": 1, "id": 2}]'],
    ids=["object", "no JSON", "text", "deep", "a name twice"],
)
async def test_what_is_no_batch_is_refused_for_good(cinema: Cinema, content: bytes) -> None:
    for door in ("playback", "refund"):
        with nothing_changes(cinema):
            assert_problem(await send(cinema, door, BATCH, content), "event_invalid")


async def test_a_batch_that_is_too_long_is_refused_before_any_of_it_is_handled(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        sent = [play(f"evt_{n}") for n in range(EVENTS_MAX + 1)]
        assert_problem(await send(cinema, "playback", BATCH, sent), "body_too_large")


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["bug", "invalid", "away", "done"], 503),
        (["away", "bug", "done"], 503),
        (["invalid", "bug", "done"], 500),
        (["invalid", "done"], 422),
    ],
)
async def test_a_batch_is_repeated_while_any_event_of_it_may_be_handled_later(
    outcomes: list[str], status: int
) -> None:
    handled: list[str] = []
    errors = {"bug": ValueError("a bug"), "away": Transient("away"), "invalid": InvalidEventError("never")}

    async def handle(event: Incoming) -> None:
        handled.append(event.id)
        if event.id in errors:
            raise errors[event.id]

    batch = json.dumps([whole("playback", outcome) for outcome in outcomes]).encode()
    with pytest.raises(RefusedError) as refused:
        await take_batch(handle, batch)
    assert handled == outcomes
    assert status_of(refused.value.refusal.code) == status
    assert [one["id"] for one in refused.value.members["events"]] == outcomes[:-1]  # type: ignore[attr-defined]


NAMES = ("a b", "Amélie", '"quoted"', "100%", "50%25", "a\\b", "中文 🎬")


@pytest.mark.parametrize("name", NAMES)
def test_attributes_arrive_as_they_were_in_each_mode(name: str) -> None:
    """In the binary mode they are headers, percent-encoded as the HTTP binding says; in the others they are JSON."""
    event = CloudEvent({"type": name, "source": f"/{name}", "id": name, "subject": name}, {})
    headers, body = to_structured(event)
    batched = json.loads(body)
    found = [incoming(dict(headers), bytes(body)), incoming(as_headers(event), b"{}")]
    found.append(incoming({"content-type": "application/cloudevents+json"}, json.dumps(batched).encode()))
    for one in found:
        assert (one.type, one.source, one.id, one.subject) == (name, f"/{name}", name, name)


def as_headers(event: CloudEvent) -> dict[str, str]:
    """As SDKs that follow the HTTP binding write them."""
    attributes = {
        f"ce-{name}": quote(str(event[name]), safe="/:") for name in event if name != "datacontenttype"
    }
    return attributes | {"content-type": "application/json"}


@pytest.mark.parametrize("spelled", ["a%20b", '"a b"', '"a%20b"', r'"a\ b"'])
def test_a_header_may_be_a_quoted_string_as_older_senders_wrote_it(spelled: str) -> None:
    headers = {"ce-specversion": "1.0", "ce-type": "t", "ce-source": "/x", "ce-id": spelled}
    assert incoming(headers, b"{}").id == "a b"


async def test_what_a_header_decodes_to_names_the_event_and_is_checked(cinema: Cinema) -> None:
    kind, data = ADDRESSED["playback"]
    body = json.dumps(data).encode()
    headers = {
        "ce-specversion": "1.0", "ce-type": kind.replace(".", "%2E"), "ce-source": "/my%20player", "ce-id": "caf%C3%A9",
        "content-type": "application/json",
    }  # fmt: skip
    for _ in range(2):
        assert (await send(cinema, "playback", headers, body)).status_code == 200
    assert [one for one in cinema.rows("SELECT source, event_id FROM inbox") if "player" in one[0]] == [
        (cinema.value("SELECT source FROM inbox WHERE event_id = 'café'"), "café")
    ]
    for bad in ("%00", "%0A", "%FF", "%ED%A0%80", "%C3"):
        assert_problem(
            await send(cinema, "playback", headers | {"ce-id": f"evt_{bad}"}, body), "event_invalid"
        )
