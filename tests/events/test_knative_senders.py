"""What Knative's own senders bring: ticks of a type of their own, and everything that stands on the cinema's topic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from shared_lib.contract.events import PING
from shared_lib.events.proof import event_signer
from tests.events.senders import TAKERS
from tests.kit.answers import assert_problem, nothing_changes
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC

# As its adapter sends it: an id of each tick, a source that names it, and no subject.
TICK = {
    "ce-specversion": "1.0",
    "ce-id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "ce-source": "/apis/v1/namespaces/boxoffice/pingsources/renewal-tick",
    "ce-type": PING,
    "ce-time": "2030-01-01T00:00:00.123456789Z",
    "content-type": "application/json",
}


async def post(cinema: Cinema, door: str, headers: Mapping[str, str], data: Any) -> httpx.Response:
    """From a proven sender; test_sender_tokens.py has Knative's own proof."""
    body = json.dumps(data).encode()
    signed = event_signer(cinema.rt).signed(headers, body)
    return await cinema.http.post(f"{cinema.url}/_door/{door}/events", content=body, headers=signed)


async def test_a_pingsource_makes_renewals_begin(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await cinema.advance(timedelta(days=32))
    assert (await post(cinema, "renew", TICK, {})).status_code == 200
    await cinema.drain()
    assert cinema.value("SELECT count(*) FROM payments WHERE status = 'succeeded'") == 2
    await cinema.assert_balanced()


async def test_a_pingsource_makes_reconcile_clean_up(cinema: Cinema) -> None:
    await cinema.bought(BASIC)
    await cinema.drain()
    await cinema.advance(timedelta(hours=80))  # a reply is repeated for 72 hours
    assert cinema.value("SELECT count(*) FROM idempotency_keys") > 0
    assert (await post(cinema, "reconcile", TICK, {})).status_code == 200
    assert cinema.value("SELECT count(*) FROM idempotency_keys") == 0


async def test_a_tick_at_a_door_that_takes_none_is_refused_for_good(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for door in set(TAKERS) - {"renew", "reconcile", "playback"}:
            assert_problem(await post(cinema, door, TICK, {}), "event_invalid")


async def test_what_else_the_cinema_publishes_is_taken_and_left_alone(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for kind in ("cinema.playback.stopped", "cinema.playback.started2", "weather.changed", PING):
            answer = await post(cinema, "playback", TICK | {"ce-type": kind}, {"customer_id": "ann"})
            assert answer.status_code == 200, f"{kind}: {answer.text}"


async def test_an_event_of_ours_on_the_cinemas_topic_is_a_dead_letter(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for kind in ("billing.order.paid", "billing.job.start_payment"):
            answer = await post(cinema, "playback", TICK | {"ce-type": kind}, {"customer_id": "ann"})
            assert_problem(answer, "event_invalid")
