"""Requests that deliver events, in any of CloudEvents' content modes: binary, structured or batched."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from shared_lib.contract.problems import status_of
from shared_lib.domain.errors import Code, Refusal
from shared_lib.events.incoming import NAME_CHARS_MAX, Consumer, InvalidEventError, incoming, take
from shared_lib.invocation import refusal_for
from shared_lib.replies import RefusedError
from shared_lib.untrusted import UntrustedError, json_of

EVENTS_MAX: Final = 100
RETRY_AFTER_S: Final = 5

_MEDIA_TYPE: Final = "application/cloudevents-batch"
_STRUCTURED: Final = {"content-type": "application/cloudevents+json"}


def consumer(function: Consumer) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a function that takes events and nothing else. Its sender gets 200 when it is done, 422 for an event that can never
    be handled (a dead letter), 503 for transient errors, 500 for bugs.
    """

    @functools.wraps(function)
    async def door(request: Request) -> Response:
        if request.method != "POST":
            refusal = Refusal(Code.METHOD_NOT_ALLOWED, "Allowed methods: POST.")
            raise RefusedError(refusal, headers={"Allow": "POST"})
        where: dict[str, object] = {}
        try:
            body = await request.body()  # the gate has limited it
            if _is_batch(request.headers):
                await take_batch(function, body)
            else:
                event = incoming(request.headers, body)
                where = {"type": event.type, "id": event.id}
                await take(function, event)
        except RefusedError:
            raise
        except Exception as error:  # noqa: BLE001  # refusal_for logs what it does not know
            raise RefusedError(refusal_for(error, **where)) from None
        return Response("OK")

    return door


async def take_request(function: Consumer, headers: Mapping[str, str], body: bytes) -> None:
    """`take`, or `take_batch`, for a door that also serves HTTP."""
    if _is_batch(headers):
        await take_batch(function, body)
    else:
        await take(function, incoming(headers, body))


def _is_batch(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").strip().lower().startswith(_MEDIA_TYPE)


async def take_batch(function: Consumer, body: bytes) -> None:
    """Run a consumer for each event of a batch, in order. An event that fails stops no other.

    Raises RefusedError, whose `events` say what failed: 503 or 500 while the sender should repeat the batch (what was
    handled has no second effect), 422 when each event that failed can never be handled, 413 for more than EVENTS_MAX events.
    """
    failed: list[tuple[dict[str, Any], Refusal]] = []
    for at, one in enumerate(_events_of(body)):
        named = _names_of(one)
        try:
            await take(function, incoming(_STRUCTURED, json.dumps(one).encode()))
        except Exception as error:  # noqa: BLE001  # refusal_for logs what it does not know
            refusal = refusal_for(error, **named)
            failed.append(({"at": at, **named, "code": refusal.code, "detail": refusal.detail}, refusal))
    if not failed:
        return
    statuses = {status_of(refusal.code) for _, refusal in failed}
    code = Code.UNAVAILABLE if 503 in statuses else Code.INTERNAL if 500 in statuses else Code.EVENT_INVALID
    detail = f"{len(failed)} events of the batch failed; see `events`. The others are handled."
    retry_after_s = RETRY_AFTER_S if code is Code.UNAVAILABLE else None
    raise RefusedError(Refusal(code, detail, retry_after_s), events=[said for said, _ in failed])


def _names_of(event: Any) -> dict[str, str]:
    """What an answer and a log line call an event that may be malformed."""
    found = event if isinstance(event, Mapping) else {}
    return {name: str(found[name])[:NAME_CHARS_MAX] for name in ("id", "type") if name in found}


def _events_of(body: bytes) -> list[Any]:
    try:
        events = json_of(body)
    except UntrustedError as error:
        raise InvalidEventError(f"not a batch of CloudEvents: {error}") from None
    if not isinstance(events, list):
        raise InvalidEventError("not a batch of CloudEvents: no array")
    if len(events) > EVENTS_MAX:
        raise RefusedError(Refusal(Code.BODY_TOO_LARGE, f"A batch may have at most {EVENTS_MAX} events."))
    return events
