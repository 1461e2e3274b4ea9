"""A load generator for machines without wrk: a process of its own, raw sockets, keep-alive, one request in flight each.

    python -m benchmarks.generator PORT CONNECTIONS SECONDS TOKENS PRICES PREFIX PREFER

Prints one line of JSON, the same that order.lua prints. It costs several times the CPU of wrk, so absolute figures are
lower with it; ratios are squeezed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import httptools
import uvloop

from benchmarks.figures import percentile

PATIENCE_S: Final = 60


class Customer(asyncio.Protocol):
    """One connection: sends the next request as soon as the last one is answered."""

    def __init__(self, requests: Iterator[bytes], results: Results) -> None:
        self._requests, self._results = requests, results
        self._parser = httptools.HttpResponseParser(self)
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._results.answered(time.perf_counter() - self._sent_at)
        self._results.failed += self._parser.get_status_code() >= 400
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._results.failed += not self._results.over

    def _send(self) -> None:
        if self._results.over:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._requests))


class Results:
    """`enough`: as many answers as connections."""

    def __init__(self, connections: int) -> None:
        self.took_s: list[float] = []
        self.failed = 0
        self.over = False
        self.enough = asyncio.Event()
        self._connections = connections

    def answered(self, took_s: float) -> None:
        self.took_s.append(took_s)
        if len(self.took_s) >= self._connections:
            self.enough.set()


def requests_of(tokens: list[str], prices: list[str], prefix: str, prefer: str) -> Iterator[bytes]:
    """Endless; every key is new."""
    preferred = "" if prefer == "-" else f"Prefer: {prefer}\r\n"
    bodies = [json.dumps({"price_id": price, "return_url": "http://cinema.test/thanks"}) for price in prices]
    for n, token, body in zip(itertools.count(1), itertools.cycle(tokens), itertools.cycle(bodies)):
        yield (
            f"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{preferred}"
            f'Authorization: Bearer {token}\r\nIdempotency-Key: "{prefix}{n}"\r\n'
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


async def drive(port: int, connections: int, seconds: float, requests: Iterator[bytes]) -> Results:
    loop, results = asyncio.get_running_loop(), Results(connections)
    for _ in range(connections):
        await loop.create_connection(lambda: Customer(requests, results), "127.0.0.1", port)
    await asyncio.sleep(seconds)
    async with asyncio.timeout(PATIENCE_S):
        await results.enough.wait()  # a busy machine, and a short leg
    results.over = True
    return results


def main() -> None:
    port, connections, seconds, tokens, prices, prefix, prefer = sys.argv[1:]
    requests = requests_of(Path(tokens).read_text().split(), Path(prices).read_text().split(), prefix, prefer)
    began = time.perf_counter()
    results = uvloop.run(drive(int(port), int(connections), float(seconds), requests))
    took_ms = sorted(1000 * took_s for took_s in results.took_s)
    print(
        json.dumps(
            {
                "requests": len(took_ms),
                "seconds": time.perf_counter() - began,
                "p50_ms": percentile(took_ms, 50),
                "p99_ms": percentile(took_ms, 99),
                "max_ms": took_ms[-1] if took_ms else 0.0,
                "failed": results.failed,
            }
        )
    )


if __name__ == "__main__":
    main()
