"""All nine doors of one machine at once: what each start takes, and how much memory they hold together after their first requests.

python -m benchmarks.doors
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.cold import POLL_S, TIMEOUT_S, answers
from benchmarks.figures import machine, number, proportional_mib, resident_mib, running_s
from benchmarks.stage import Stage, open_stage, seed_orders
from infra.servers.ports import free_port
from shared_lib.contract.routes import DOORS, EVENTS_PATH
from shared_lib.events.incoming import binary
from shared_lib.events.proof import EventSigner

EVENT_SECRET: Final = "whsec_YmVuY2htYXJrcyBoYXZlIGEgc2VjcmV0IHRvbyE="
ORDER: Final = {"price_id": "prc_b001_rent", "return_url": "http://cinema.test/thanks"}
# The first request of each door: a call, and its body; or an event, and its data.
CALLS: Final[Mapping[str, tuple[str, str, Any]]] = {
    "account": ("GET", "/v1/orders", None),
    "create_order": ("POST", "/v1/orders", ORDER),
    "refund": ("GET", "/v1/refunds/ref_none", None),
    "subscription": ("PATCH", "/v1/subscriptions/sub_none", {"auto_renew": False}),
    "webhook": ("POST", "/v1/webhooks/none", {}),
}
EVENTS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "notify": ("billing.order.created", {"customer_id": "cus_000001"}),
    "playback": (
        "cinema.playback.started",
        {"customer_id": "cus_000001", "product_id": "prd_b001", "started_at": "2026-01-01T00:00:00Z"},
    ),
    "reconcile": ("billing.tick.reconcile", {}),
    "renew": ("billing.tick.renewal", {}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A door after its first request. Seconds from fork, of the processor; memory while all doors run."""

    name: str
    answer_cpu_s: float
    request_cpu_s: float
    resident_mib: float
    proportional_mib: float


def measure(stage: Stage) -> list[Idle]:
    """Start all doors one after the other, send each its first request, and read the memory of all at the end."""
    seed_orders(stage, customers=1, history=1000)
    token = stage.tokens(range(1, 2)).read_text().strip()
    starts = {}
    for name in DOORS:
        port = free_port()
        process = stage.serve(
            name, "shared_lib.web.serve:app", port=port, function=name, BOXOFFICE_EVENT_SECRETS=EVENT_SECRET
        )
        began = time.perf_counter()
        while not answers(port):
            if process.poll() is not None or time.perf_counter() - began > TIMEOUT_S:
                raise RuntimeError(f"{name} does not start:\n{stage.log_tail(name)}")
            time.sleep(POLL_S)
        answer_cpu_s = running_s(process.pid)
        first_request(name, port, token)
        starts[name] = (process.pid, answer_cpu_s, running_s(process.pid))
    return [
        Idle(
            name=name,
            answer_cpu_s=answer_cpu_s,
            request_cpu_s=request_cpu_s,
            resident_mib=resident_mib(pid),
            proportional_mib=proportional_mib(pid),
        )
        for name, (pid, answer_cpu_s, request_cpu_s) in starts.items()
    ]


def first_request(name: str, port: int, token: str) -> None:
    """Raises RuntimeError for an answer that is a fault of the door or of this benchmark."""
    if name in CALLS:
        method, path, sent = CALLS[name]
        body = b"" if sent is None else json.dumps(sent).encode()
        headers = {"authorization": f"Bearer {token}", "idempotency-key": f'"{uuid.uuid4()}"'}
        headers["content-type"] = "application/json"
    else:
        method, path, (kind, data) = "POST", EVENTS_PATH, EVENTS[name]
        unsigned, body = binary(
            event_id=f"evt_{uuid.uuid4().hex}",
            kind=kind,
            subject="benchmark",
            partition_key="cus_000001",
            time_=datetime.now(UTC).isoformat(),
            data=data,
        )
        headers = EventSigner([EVENT_SECRET], lambda: datetime.now(UTC)).signed(unsigned, body)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    if answer.status in (401, 403) or answer.status >= 500:
        raise RuntimeError(f"{name} answered {answer.status}: {said!r}")


def shown(doors: list[Idle]) -> str:
    """A table in Markdown, as docs/benchmarks.md has it."""
    lines = [
        "| door | first answer, CPU ms | first request, CPU ms | RSS MiB | PSS MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one.name} | {number(1000 * one.answer_cpu_s)} | {number(1000 * one.request_cpu_s)} "
        f"| {number(one.resident_mib)} | {number(one.proportional_mib)} |"
        for one in doors
    ]
    resident, together = (
        sum(values)
        for values in zip(*((one.resident_mib, one.proportional_mib) for one in doors), strict=True)
    )
    return "\n".join([*lines, f"| together | | | {number(resident)} | {number(together)} |"])


if __name__ == "__main__":
    with open_stage() as opened:
        print(f"{machine()}\n\n{shown(measure(opened))}")
