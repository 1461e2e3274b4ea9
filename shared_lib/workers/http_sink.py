"""Delivers events to the doors over HTTP, and reads their answers as KafkaSource does: 2xx is taken, some 4xx are final."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx

from shared_lib.billing.facts import instant
from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.events.incoming import binary
from shared_lib.events.proof import EventSigner
from shared_lib.fetching import Http, fetch
from shared_lib.http_client.transport import AiohttpTransport
from shared_lib.store.outbox import Outgoing
from shared_lib.workers.doors import UNPROVEN, Routes, is_retryable
from shared_lib.workers.sink import NeverError, NotNowError

# Charging a whole chunk of renewals takes long; the door's own deadlines are shorter.
TIMEOUT: Final = httpx.Timeout(120.0, connect=2.0)
DELIVERY_S: Final = 130.0
ANSWER_BYTES_MAX: Final = 64 * 1024
REASON_BYTES_MAX: Final = 200
# Doors keep an idle connection for 95 s; we close it first.
KEEP_ALIVE_S: Final = 60.0


def to_doors() -> AiohttpTransport:
    """Connections for an HttpSink. The caller closes them."""
    return AiohttpTransport(keep_alive_s=KEEP_ALIVE_S)


class HttpSink:
    def __init__(self, http: Http, routes: Mapping[str, str], signer: EventSigner) -> None:
        self._http = http
        self._signer = signer
        self._routes = Routes(routes)

    async def deliver(self, event: Outgoing) -> None:
        url = self._routes.door_of(event.type)
        if url is None:
            raise NeverError(f"no door takes {event.type}")
        headers, body = binary(
            event_id=event.event_id,
            kind=event.type,
            subject=event.subject,
            partition_key=event.partition_key,
            time_=instant(event.created_at) or "",
            data=event.data,
            sequence=event.sequence,
            traceparent=event.traceparent,
        )
        signed = self._signer.signed(headers, body)
        try:
            answer = await fetch(
                self._http,
                "POST",
                url + EVENTS_PATH,
                bytes_max=ANSWER_BYTES_MAX,
                within_s=DELIVERY_S,
                content=body,
                headers=signed,
                timeout=TIMEOUT,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotNowError(f"no connection to {url}: {type(error).__name__}", counts=False) from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise NotNowError(f"{url}: {type(error).__name__}") from None
        if answer.is_success:
            return
        said = (answer.body or b"")[:REASON_BYTES_MAX].decode(errors="replace")
        reason = f"{url} answered {answer.status}: {said}"
        if answer.status == UNPROVEN:
            # Our secret or our clock is wrong, not this event: every event waits, in order, until that is fixed.
            raise NotNowError(reason, counts=False)
        if is_retryable(answer.status):
            raise NotNowError(reason)
        raise NeverError(reason)
