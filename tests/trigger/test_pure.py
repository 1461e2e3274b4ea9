"""The parts without I/O: what may be committed, what a record becomes, how long one waits."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.workers.doors import Routes, is_retryable
from shared_lib.workers.trigger.delivery import Patience
from shared_lib.workers.trigger.envelope import NoEventError, Record, envelope
from shared_lib.workers.trigger.health import healthy
from shared_lib.workers.trigger.letters import (
    REPLAYED,
    Cause,
    Letter,
    letter_headers,
    original_headers,
    read_letter,
)
from shared_lib.workers.trigger.member import MAX_POLL_INTERVAL_S
from shared_lib.workers.trigger.tracker import Tracker
from tests.kit.doors import event_headers

OFFSETS = st.sets(st.integers(0, 60), min_size=1).map(sorted)


# ---- what may be committed ---------------------------------------------------------------------------------


@given(OFFSETS, st.randoms(use_true_random=False))
def test_a_commit_never_passes_a_record_that_is_not_done(offsets: list[int], order: object) -> None:
    tracker, done = Tracker(), set()
    for offset in offsets:
        tracker.take(offset)
    shuffled = list(offsets)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    for offset in shuffled:
        tracker.done(offset)
        done.add(offset)
        position = tracker.position
        assert position is not None
        undone = [each for each in offsets if each not in done]
        assert position == (undone[0] if undone else offsets[-1] + 1)
        assert tracker.span == sum(each >= position for each in offsets)


def test_nothing_taken_is_nothing_to_commit() -> None:
    assert Tracker().position is None


def test_a_record_comes_once_and_in_order() -> None:
    tracker = Tracker()
    tracker.take(7)
    with pytest.raises(ValueError, match="offset 7"):
        tracker.take(7)


# ---- what a record becomes ---------------------------------------------------------------------------------


def record(
    *, headers: list[tuple[str, bytes]], key: bytes | None = b"ann", value: bytes | None = b"{}"
) -> Record:
    return Record("billing.events", 3, 17, 1_900_000_000_000, key, value, headers)


@given(st.binary(max_size=40), st.binary(max_size=20))
def test_whatever_an_attribute_holds_travels_and_comes_back(value: bytes, key: bytes) -> None:
    sent = dict(envelope(record(headers=[*event_headers("evt_1"), ("ce_any", value)], key=key)).headers)
    assert unquote_to_bytes(sent[b"ce-any"]) == value
    assert unquote_to_bytes(sent[b"ce-partitionkey"]) == key
    assert all(0x21 <= byte <= 0x7E for header in sent.values() for byte in header)


@given(st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=12))), st.binary(max_size=30))
def test_nothing_makes_the_reader_stumble(headers: list[tuple[str, bytes]], value: bytes) -> None:
    for mode in ([], event_headers("evt_1"), [("Content-Type", b"application/cloudevents+json")]):
        with suppress(NoEventError):
            envelope(record(headers=[*headers, *mode], value=value))


def test_an_event_without_data_or_key_is_one() -> None:
    sent = envelope(record(headers=event_headers("evt_1"), key=None, value=None))
    assert (sent.id, sent.type, sent.body) == ("evt_1", "billing.order.paid", b"")
    assert b"ce-partitionkey" not in dict(sent.headers)


# ---- letters -----------------------------------------------------------------------------------------------


def test_a_letter_dies_and_rises_with_the_same_headers_and_dies_again() -> None:
    original = event_headers("evt_1")
    cause = Cause(
        reason="answered 422: no", url="http://door", status=422, said=b"no", extensions=[("knex", b"1")]
    )
    dead = record(headers=letter_headers(record(headers=original), cause, datetime(2031, 1, 1, tzinfo=UTC)))
    assert original_headers(dead.headers) == original
    again = letter_headers(dead, Cause(reason="another"), datetime(2031, 1, 2, tzinfo=UTC))
    names = [name for name, _ in again]
    assert len(names) == len(set(names))
    assert not any(name.startswith("ce_knative") for name in names)
    letter = read_letter(record(headers=again))
    assert isinstance(letter, Letter)
    assert letter.origin == ("billing.events", "3", "17")
    assert letter.headers["dead_time"] == "2030-03-17T17:46:40.000+00:00"


def test_a_mark_says_which_letter_was_sent_again() -> None:
    assert read_letter(record(headers=[(REPLAYED, b"4")], value=None)) == 4


# ---- how long one waits ------------------------------------------------------------------------------------


def test_pauses_grow_up_to_a_most_and_end_with_the_budget() -> None:
    patience, spent_s = Patience(), 0.0
    pauses: list[float] = []
    while (pause_s := patience.pause_s(len(pauses) + 1, spent_s)) is not None:
        pauses.append(pause_s)
        spent_s += pause_s
    assert patience.budget_s - patience.most_s * 1.5 < spent_s < patience.budget_s < MAX_POLL_INTERVAL_S
    assert 9 <= len(pauses) <= 22
    for n, pause_s in enumerate(pauses):
        assert 0.5 <= pause_s / min(patience.first_s * 2**n, patience.most_s) <= 1.5


def test_pauses_differ() -> None:
    assert len({Patience().pause_s(3, 0) for _ in range(10)}) == 10


@pytest.mark.parametrize("status", [401, 404, 408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_not_now(status: int) -> None:
    assert is_retryable(status)


@pytest.mark.parametrize("status", [300, 301, 307, 400, 403, 405, 410, 413, 422, 451])
def test_never(status: int) -> None:
    assert not is_retryable(status)


def test_made_up_types_do_not_fill_the_memory() -> None:
    routes = Routes({"billing.": "http://all", "billing.order.": "http://orders"})
    for n in range(5000):
        assert routes.door_of(f"made.up.{n}") is None
    assert len(routes._known) <= 1000
    assert routes.door_of("billing.order.paid") == "http://orders"
    assert routes.door_of("billing.payment.declined") == "http://all"


def test_silence_is_an_illness_and_lag_is_none() -> None:
    assert healthy({"last_poll_age_s": 3, "lag": 1_000_000})
    assert not healthy({"last_poll_age_s": 61, "lag": 0})
