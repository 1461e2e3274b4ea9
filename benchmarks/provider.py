"""A payment provider behind HTTP, in a process of its own: python -m benchmarks.provider PORT [MS]

It answers after MS milliseconds; as fast as it can without them. It speaks the sandbox's format for checkouts and charges, and keeps no
books. GET answers what it was asked until now, and forgets it: see `Asked`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final, cast

import uvloop

API_KEY: Final = "sk_benchmark"
NAME: Final = "sandbox"
BACKLOG: Final = 2048  # of callers that connect at the same moment
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Asked:
    """When requests arrived and were answered."""

    def __init__(self) -> None:
        self._arrived_at: list[float] = []
        self._answered_at: list[float] = []
        self._most_in_flight = 0

    def arrived(self) -> None:
        self._arrived_at.append(time.monotonic())
        self._most_in_flight = max(self._most_in_flight, len(self._arrived_at) - len(self._answered_at))

    def answered(self) -> None:
        self._answered_at.append(time.monotonic())

    def told(self) -> dict[str, float]:
        """How many were answered, how many were in flight at most, and on average while callers had more to ask: from the first
        answer until the last request arrived.
        """
        told = {
            "count": len(self._answered_at),
            "most": self._most_in_flight,
            "on_average": self._on_average(),
        }
        self._arrived_at.clear()
        self._answered_at.clear()
        self._most_in_flight = 0
        return told

    def _on_average(self) -> float:
        if not self._answered_at:
            return 0.0
        begins, ends = self._answered_at[0], self._arrived_at[-1]
        # Each request that was in flight within this time adds how long it was.
        arrived = sum(ends - max(begins, at) for at in self._arrived_at)
        answered = sum(ends - at for at in self._answered_at if at < ends)
        return (arrived - answered) / (ends - begins) if ends > begins else 0.0


class Connection(asyncio.Protocol):
    def __init__(self, asked: Asked, takes_s: float) -> None:
        self._asked, self._takes_s = asked, takes_s
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (request := self._next()) is not None:
            head, body = request
            if not body:
                self._transport.write(_said(self._asked.told()))
                continue
            self._asked.arrived()
            answer = _said(payment_of(json.loads(body), paid=head.startswith(b"POST /v1/charges ")))
            if self._takes_s:
                asyncio.get_running_loop().call_later(self._takes_s, self._answer, answer)
            else:
                self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        self._asked.answered()
        self._transport.write(answer)

    def _next(self) -> tuple[bytes, bytes] | None:
        head, end, rest = self._read.partition(_END)
        at = head.lower().find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r\n")[0]) if at >= 0 else 0
        if not end or len(rest) < length:
            return None
        self._read = rest[length:]
        return head, rest[:length]


def _said(content: object) -> bytes:
    said = json.dumps(content).encode()
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\ncontent-length: %d\r\n\r\n%b"
        % (len(said), said)
    )


def payment_of(asked: dict[str, Any], *, paid: bool) -> dict[str, Any]:
    payment_id = asked["metadata"]["payment_id"]
    return {
        "id": f"sbx_{payment_id}",
        "status": "succeeded" if paid else "pending",
        "amount_minor": asked["amount_minor"],
        "captured_minor": asked["amount_minor"] if paid else 0,
        "refunded_minor": 0,
        "currency": asked["currency"],
        "metadata": asked["metadata"],
        "livemode": False,
        "checkout_url": None if paid else f"https://pay.example/{payment_id}",
        "expires_at": None if paid else "2100-01-01T00:00:00+00:00",
        "created_at": "2026-01-01T00:00:00+00:00",
    }


async def serve(port: int, takes_s: float) -> None:
    asked = Asked()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(asked, takes_s), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float((sys.argv[2:] or ["0"])[0]) / 1000))
