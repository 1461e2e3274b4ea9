"""CloudEvents, received and sent. The only module that knows their SDK."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from cloudevents.conversion import to_binary
from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http
from cloudevents.sdk.converters import is_structured
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.domain.errors import Code, Refusal, Transient, Unstorable
from shared_lib.domain.values import Value
from shared_lib.invocation import Invocation, valid_trace
from shared_lib.replies import RefusedError
from shared_lib.untrusted import UntrustedError, check, check_text

SOURCE: Final = "/boxoffice"

_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

# Attributes that name an event become part of keys; the others are only passed on.
NAME_CHARS_MAX: Final = 255
ATTRIBUTE_CHARS_MAX: Final = 2048

Model = TypeVar("Model", bound=BaseModel)


class InvalidEventError(RefusedError):
    """The event can never be handled: its sender makes a dead letter of it (422)."""

    def __init__(self, detail: str) -> None:
        super().__init__(Refusal(Code.EVENT_INVALID, detail))

    def __str__(self) -> str:
        return self.refusal.detail


class Incoming(Value, kw_only=True):
    """A CloudEvent as a consumer sees it. (source, id) identifies it."""

    id: str
    source: str
    type: str
    subject: str | None
    data: Mapping[str, Any]
    traceparent: str | None = None


def data_of(event: Incoming, model: type[Model]) -> Model:
    """The data as a model. Unknown fields are ignored, because producers are upgraded first. Raises InvalidEventError."""
    try:
        return model.model_validate(event.data)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise InvalidEventError(f"data of {event.type} does not fit at: {places}") from None


def is_event(request: Request) -> bool:
    """Whether a request to a door that also serves HTTP delivers an event."""
    return request.method == "POST" and bool(request.scope["path"] == EVENTS_PATH)


def incoming(headers: Mapping[str, str], body: bytes) -> Incoming:
    """Read a request as a CloudEvent. Raises InvalidEventError."""
    sent = dict(headers)
    try:
        event = from_http(sent if is_structured(sent) else _with_decoded_attributes(sent), body)
    except (GenericException, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidEventError(f"not a CloudEvent: {type(error).__name__}") from None
    return _incoming_of(event)


def _with_decoded_attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the binary mode, in which the attributes are encoded; the SDK takes them as they are.

    Raises UnicodeDecodeError, a ValueError, for bytes that are no UTF-8.
    """
    return {
        name: _decoded(value) if name.lower().startswith("ce-") else value for name, value in headers.items()
    }


def _decoded(value: str) -> str:
    """CloudEvents HTTP binding, 3.1.3.2: a quoted string, as older senders wrote it, is unescaped; then percent-decoded once."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    return unquote(value, errors="strict") if "%" in value else value


def _incoming_of(event: CloudEvent) -> Incoming:
    """The event as we use it. Raises InvalidEventError.

    The SDK passes malformed JSON on as bytes or text, so it is refused here; so is data that PostgreSQL could not store.
    """
    if not isinstance(event.data, Mapping):
        raise InvalidEventError("data is not a JSON object")
    try:
        check(event.data)
        for name in event:
            if name != "traceparent":  # kept only when it is valid, and a bad one must not cost the event
                check_text(str(event[name] if event[name] is not None else ""), chars_max=ATTRIBUTE_CHARS_MAX)
        id_, source, kind = (_named(event, name) for name in ("id", "source", "type"))
        subject = str(event.get("subject") or "")
        check_text(unquote(subject))  # what takes the subject next may decode it
    except UntrustedError as error:
        raise InvalidEventError(f"the event cannot be stored: {error}") from None
    return Incoming(
        id=id_,
        source=source,
        type=kind,
        subject=subject or None,
        data=event.data,
        traceparent=valid_trace(str(event.get("traceparent") or "")),
    )


def _named(event: CloudEvent, name: str) -> str:
    """An attribute that becomes a part of a key."""
    value = check_text(str(event[name]), chars_max=NAME_CHARS_MAX)
    if not value or not value.isprintable():
        raise UntrustedError(f"{name} is empty or not printable")
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

    Written by hand: the SDK would parse the JSON and write it again, which costs ten times as much (13 us instead of 1.5)
    for every event sent. A test compares the two.
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


async def hand_over(event: Incoming, consumers: Mapping[str, Consumer], door: str) -> None:
    """Run the consumer of the event's type. Raises InvalidEventError when the door has none."""
    if event.type not in consumers:
        raise InvalidEventError(f"{event.type} is not for {door}")
    await consumers[event.type](event)


async def take(function: Consumer, event: Incoming) -> None:
    """Run a consumer, with one log line per event. Raises InvalidEventError, or what the consumer raised."""
    with Invocation("event", trace=event.traceparent) as line:
        line |= {"type": event.type, "id": event.id, "subject": event.subject, "outcome": "crashed"}
        try:
            await function(event)
            line["outcome"] = "done"
        except InvalidEventError as error:
            line["outcome"] = f"invalid: {error}"
            raise
        except Unstorable as error:
            line["outcome"] = f"unstorable: {error}"
            raise InvalidEventError("the event contains a value that cannot be stored") from None
        except Transient as error:
            line["outcome"] = f"later: {error}"
            raise
