"""Cold start: from the start of the process to its first answer, and to its first order (201); memory after it."""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from benchmarks.figures import Contender, Leg, Report, proportional_mib, resident_mib, rotated, running_s
from benchmarks.orders import Way
from benchmarks.stage import Stage, over_http, seed_orders
from infra.servers.ports import free_port

TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.002
CUSTOMERS: Final = 100  # each start has a customer of its own: a title is ordered once by a customer

WAYS: Final = (
    Way(name="ours", title="the door create_order", app="shared_lib.web.serve:app", function="create_order"),
    Way(
        name="ours http",
        title="the same, its provider over HTTP",
        app="shared_lib.web.serve:app",
        function="create_order",
    ),
    Way(name="a", title="FastAPI + SQLModel, control (a) of orders", app="benchmarks.controls.orm_app:app"),
    Way(name="a http", title="the same, its provider over HTTP", app="benchmarks.controls.orm_app:app"),
    Way(name="b", title="FastAPI + psycopg, control (b) of orders", app="benchmarks.controls.sql_app:app"),
    Way(name="d", title="null ASGI: Python and uvicorn alone", app="benchmarks.controls.null_app:app"),
)


def measure(stage: Stage, rounds: int, say: Callable[[str], None]) -> Report:
    """A new process each time; files are in the page cache, compiled modules on disk, PostgreSQL is warm.

    Without "http" in its name a way has a provider in its own process, which costs nothing.
    """
    provider = over_http(stage.start_provider())
    seed_orders(stage, customers=CUSTOMERS, history=1000)
    tokens = cycle(stage.tokens(range(1, CUSTOMERS + 1)).read_text().split())
    contenders = {way.name: Contender(way.name, way.title) for way in WAYS}
    for n in range(-1, rounds):  # the first round only fills caches
        for way in rotated(WAYS, n):
            start = start_once(stage, way, next(tokens), provider if way.name.endswith(" http") else {})
            if n < 0:
                continue
            contender = contenders[way.name]
            # `p50` holds the first answer and `p99` the first order: one sample each.
            contender.legs.append(
                Leg(
                    per_s=1 / start.order_s,
                    p50_ms=1000 * start.answer_s,
                    p99_ms=1000 * start.order_s,
                    cpu_us=1e6 * start.answer_cpu_s,
                )
            )
            contender.peak_mib = max(contender.peak_mib or 0, start.resident_mib)
            say(
                f"round {n + 1} {way.name}: answers after {start.answer_s:.2f} s ({start.answer_cpu_s:.2f} s of processor), "
                f"first order after {start.order_s:.2f} s ({start.order_cpu_s:.2f}), {start.resident_mib:.1f} MiB"
            )
    return Report(
        title=f"Cold start, {rounds} rounds",
        unit="-",
        contenders=list(contenders.values()),
        baseline="a",
        columns=("first answer, ms", "first order, ms"),
        notes=[
            "Measured from fork to the bytes of GET /livez, then of POST /v1/orders; one process at a time.",
            "CPU: of the process until its first answer. MiB: resident after its first order.",
        ],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start: seconds from fork, of the clock and of the processor, to the first answer and to the first order; memory then."""

    answer_s: float
    answer_cpu_s: float
    order_s: float
    order_cpu_s: float
    resident_mib: float
    proportional_mib: float


def start_once(stage: Stage, way: Way, token: str, settings: Mapping[str, str]) -> Start:
    port, began = free_port(), time.perf_counter()
    name = f"cold {way.name}"
    process = stage.serve(
        name,
        way.app or "",
        port=port,
        function=way.function,
        driver=way.driver,
        processes=way.processes,
        **settings,
    )
    try:
        while not answers(port):
            if process.poll() is not None or time.perf_counter() - began > TIMEOUT_S:
                raise RuntimeError(f"{way.name} does not start:\n{stage.log_tail(name)}")
            time.sleep(POLL_S)
        answer_s, answer_cpu_s = time.perf_counter() - began, running_s(process.pid)
        order(port, token)
        return Start(
            answer_s=answer_s,
            answer_cpu_s=answer_cpu_s,
            order_s=time.perf_counter() - began,
            order_cpu_s=running_s(process.pid),
            resident_mib=resident_mib(process.pid),
            proportional_mib=proportional_mib(process.pid),
        )
    finally:
        process.terminate()
        process.wait(timeout=TIMEOUT_S)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


def order(port: int, token: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    body = json.dumps({"price_id": "prc_b001_rent", "return_url": "http://cinema.test/thanks"})
    headers = {
        "authorization": f"Bearer {token}",
        "idempotency-key": f'"{uuid.uuid4()}"',
        "content-type": "application/json",
    }
    connection.request("POST", "/v1/orders", body, headers)
    answer = connection.getresponse()
    if answer.status != 201:
        raise RuntimeError(f"{answer.status}: {answer.read()!r}")
    connection.close()
