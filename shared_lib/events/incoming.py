"""CloudEvents, in and out. The only module that knows their SDK."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, unquote

import structlog
from cloudevents.conversion import to_binary
from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from shared_lib.contract.problems import status_of
from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.domain.errors import Code, Transient, Unstorable
from shared_lib.log import begin, end
from shared_lib.untrusted import UntrustedError, check, check_text

SOURCE: Final = "/boxoffice"

# The type of every event of a Knative PingSource; it cannot be chosen. At a door that takes ticks it is a tick.
PING: Final = "dev.knative.sources.ping"

# What names an event is a part of keys; other attributes are carried at most.
NAME_CHARS_MAX: Final = 255
ATTRIBUTE_CHARS_MAX: Final = 2048

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Model = TypeVar("Model", bound=BaseModel)

log = structlog.get_logger("boxoffice")


class InvalidEventError(Exception):
    """It will never be readable: it belongs among the dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A CloudEvent as a consumer sees it. (source, id) names it for ever."""

    id: str
    source: str
    type: str
    subject: str | None
    data: Mapping[str, Any]
    traceparent: str | None = None


def data_of(event: Incoming, model: type[Model]) -> Model:
    """The data as a model, or InvalidEventError. More fields than we know are fine: writers move first."""
    try:
        return model.model_validate(event.data)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise InvalidEventError(f"data of {event.type} does not fit at: {places}") from None


def is_event(request: Request) -> bool:
    """Whether a request to a door that also answers calls brings an event."""
    return request.method == "POST" and bool(request.scope["path"] == EVENTS_PATH)


def incoming(headers: Mapping[str, str], body: bytes) -> Incoming:
    """Read a request as a CloudEvent. Raises InvalidEventError."""
    try:
        event = from_http(dict(headers), body)
    except (GenericException, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidEventError(f"not a CloudEvent: {type(error).__name__}") from None
    return incoming_of(event)


def incoming_of(event: CloudEvent) -> Incoming:
    """Malformed JSON reaches a function as bytes or text, not as an error: it is refused here.

    So is data that can be read and not stored: PostgreSQL would refuse it at each delivery.
    """
    if not isinstance(event.data, Mapping):
        raise InvalidEventError("data is not a JSON object")
    try:
        check(event.data)
        for name in event:
            check_text(str(event[name] if event[name] is not None else ""), chars_max=ATTRIBUTE_CHARS_MAX)
        id_, source, kind = (_named(event, name) for name in ("id", "source", "type"))
        subject = check_text(unquote(event.get("subject") or ""))
    except UntrustedError as error:
        raise InvalidEventError(f"not an event that can be kept: {error}") from None
    trace = str(event.get("traceparent") or "")
    return Incoming(
        id=id_,
        source=source,
        type=kind,
        subject=subject or None,
        data=event.data,
        traceparent=trace if _TRACEPARENT.fullmatch(trace) else None,
    )


def _named(event: CloudEvent, name: str) -> str:
    """An attribute that becomes a part of a key."""
    value = check_text(str(event[name]), chars_max=NAME_CHARS_MAX)
    if not value or not value.isprintable():
        raise UntrustedError(f"{name} is no name")
    return value


def binary(
    *,
    event_id: str,
    kind: str,
    subject: str,
    partition_key: str,
    time_: str,
    data: Mapping[str, Any],
    sequence: int | None = None,
    traceparent: str | None = None,
) -> tuple[dict[str, str], bytes]:
    """Headers and body of the HTTP request that delivers an event."""
    attributes = {
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "subject": subject,
        "time": time_,
        "datacontenttype": "application/json",
        "partitionkey": partition_key,
    }
    if sequence is not None:
        attributes["sequence"] = str(sequence)
    if traceparent:
        attributes["traceparent"] = traceparent
    headers, body = to_binary(CloudEvent(attributes, dict(data)))
    return {name: quote(value, safe=_HEADER_SAFE) for name, value in dict(headers).items()}, bytes(body)


class KafkaRecord(NamedTuple):
    """What a producer sends: CloudEvents' binary mode on Kafka."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def kafka_record(
    *,
    event_id: str,
    kind: str,
    subject: str,
    partition_key: str,
    time_: str,
    data: str,
    sequence: int | None = None,
    traceparent: str | None = None,
) -> KafkaRecord:
    """An event as a record of Kafka; `data` is JSON already.

    Written out by hand: the SDK would have the JSON parsed and written again and costs ten times as much (13 us against 1.5),
    for every event that leaves. A test holds the two against each other.
    """
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", _SOURCE_BYTES),
        ("ce_type", kind.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", time_.encode()),
        ("content-type", b"application/json"),
    ]
    if sequence is not None:
        headers.append(("ce_sequence", str(sequence).encode()))
    if traceparent:
        headers.append(("ce_traceparent", traceparent.encode()))
    return KafkaRecord(partition_key.encode(), data.encode(), headers)


_SOURCE_BYTES: Final = SOURCE.encode()

# CloudEvents HTTP binding, 3.1.3.2: everything but printable ASCII travels percent-encoded, as do these three.
_HEADER_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

Consumer = Callable[[Incoming], Awaitable[None]]


def consumer(function: Consumer) -> Callable[[CloudEvent], Awaitable[None]]:
    """Wrap a function that takes CloudEvents: done is 200, never is 422 (a dead letter), not now is 503, a bug is 500."""

    @functools.wraps(function)
    async def door(event: CloudEvent) -> None:
        try:
            taken = incoming_of(event)
        except InvalidEventError as error:
            raise never(error) from None
        try:
            await take(function, taken)
        except HTTPException:
            raise
        except Exception:
            log.exception("crashed", type=taken.type, id=taken.id)
            raise HTTPException(500, "The error has been logged. Sending the event again is safe.") from None

    return door


async def hand_over(event: Incoming, consumers: Mapping[str, Consumer], door: str) -> None:
    """Run the consumer of the event's type. Raises InvalidEventError when the door has none."""
    if event.type not in consumers:
        raise InvalidEventError(f"{event.type} is not for {door}")
    await consumers[event.type](event)


async def take_request(function: Consumer, headers: Mapping[str, str], body: bytes) -> None:
    """`take` for a door that speaks HTTP as well. What is no CloudEvent is refused for good."""
    try:
        event = incoming(headers, body)
    except InvalidEventError as error:
        raise never(error) from None
    await take(function, event)


async def take(function: Consumer, event: Incoming) -> None:
    """Run a consumer with one canonical log line, and the answer its sender understands."""
    began, outcome = time.perf_counter(), "done"
    invocation = begin(trace=event.traceparent)
    try:
        await function(event)
    except InvalidEventError as error:
        outcome = f"invalid: {error}"
        raise never(error) from None
    except Unstorable as error:
        outcome = f"unstorable: {error}"
        raise never(InvalidEventError("a value that no database can keep")) from None
    except Transient as passing:
        outcome = f"later: {passing}"
        raise HTTPException(503, str(passing), {"Retry-After": "1"}) from None
    except Exception:
        outcome = "crashed"
        raise
    finally:
        ms = round((time.perf_counter() - began) * 1000, 1)
        log.info("event", type=event.type, id=event.id, subject=event.subject, outcome=outcome, ms=ms)
        end(invocation)


def never(error: InvalidEventError) -> HTTPException:
    return HTTPException(status_of(Code.EVENT_INVALID), str(error))
