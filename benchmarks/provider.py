"""A payment provider behind HTTP, in a process of its own, that answers as fast as it can: python -m benchmarks.provider PORT

It speaks the sandbox's format for checkouts and charges, keeps no books and forgets everything. GET answers that it lives.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final, cast

import uvloop

API_KEY: Final = "sk_benchmark"
NAME: Final = "sandbox"
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (request := self._next()) is not None:
            head, body = request
            self._transport.write(_answer(head, body))

    def _next(self) -> tuple[bytes, bytes] | None:
        head, end, rest = self._read.partition(_END)
        at = head.lower().find(_LENGTH)
        length = int(head[at + len(_LENGTH) :].split(b"\r\n")[0]) if at >= 0 else 0
        if not end or len(rest) < length:
            return None
        self._read = rest[length:]
        return head, rest[:length]


def _answer(head: bytes, body: bytes) -> bytes:
    payment = payment_of(json.loads(body), paid=head.startswith(b"POST /v1/charges ")) if body else {}
    said = json.dumps(payment).encode()
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


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
