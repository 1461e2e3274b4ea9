"""What an event costs the door that takes it: a play, and a fact that no mail tells."""

from __future__ import annotations

import http.client
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.figures import cpu_s
from benchmarks.meter import Cost, Meter
from infra.servers.ports import free_port, wait_for_http
from shared_lib.billing.facts import instant
from shared_lib.contract.routes import EVENTS_PATH
from shared_lib.events.incoming import binary
from shared_lib.events.proof import EventSigner

CONNECTIONS: Final = 16
SECRET: Final = "whsec_" + b64encode(b"the secret of a benchmark's events").decode()

TypedEvent = tuple[str, Mapping[str, Any]]  # type, data


def heard(meter: Meter, title: str, function: str, events: Sequence[TypedEvent]) -> Cost:
    """The door takes each event once, signed, as a trigger would bring it."""
    stage, port = meter.stage, free_port()
    door = stage.spawn(
        function, "-m", "functions", "--host", "127.0.0.1", "--port", str(port), "--timeout-keep-alive", "95",
        "--log-level", "warning",
        env={"FUNCTION": function, "BOXOFFICE_EVENT_SECRETS": SECRET},
    )  # fmt: skip
    wait_for_http(f"http://127.0.0.1:{port}/livez")
    deliver(port, events[:1])  # the first one opens connections
    with ThreadPoolExecutor(CONNECTIONS) as pool, meter.leg(title) as cost:
        used_s = cpu_s(door.pid)
        shares = [events[place::CONNECTIONS] for place in range(CONNECTIONS)]
        cost.count = sum(pool.map(lambda share: deliver(port, share), shares))
        cost.door_cpu_s = cpu_s(door.pid) - used_s
    door.terminate()
    return cost


def deliver(port: int, events: Sequence[TypedEvent]) -> int:
    """One connection, one event after the other. Returns how many the door took."""
    signer = EventSigner([SECRET], lambda: datetime.now(UTC))
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for kind, data in events:
            headers, body = binary(
                event_id=str(uuid.uuid4()),
                kind=kind,
                subject="benchmark",
                partition_key=data["customer_id"],
                time_=instant(datetime.now(UTC)) or "",
                data=data,
            )
            connection.request("POST", EVENTS_PATH, body, signer.signed(headers, body))
            answer = connection.getresponse()
            said = answer.read()
            if not 200 <= answer.status < 300:
                raise RuntimeError(f"{kind}: {answer.status} {said[:200]!r}")
    return len(events)


def plays(meter: Meter, count: int) -> list[TypedEvent]:
    """Of titles that were bought and played before, which is what most plays are."""
    with meter.stage.db() as db:
        rows = db.execute("SELECT customer_id, product_id, starts_at FROM entitlements").fetchall()
    made = [
        {"customer_id": customer, "product_id": product, "started_at": instant(starts_at)}
        for customer, product, starts_at in rows
    ]
    return [("cinema.playback.started", made[n % len(made)]) for n in range(count)]


def silent_facts(plays_: Sequence[TypedEvent]) -> list[TypedEvent]:
    """Four of the five facts of a renewal get no mail."""
    return [("billing.entitlement.granted", data) for _, data in plays_]
