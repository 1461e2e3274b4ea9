"""Whether the trigger of this machine works: `GET /healthz` on loopback, and the health check that asks it.

No web framework: the answer is one line of JSON, and a check that runs every few seconds must start fast.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Final

SILENT_MAX_S: Final = 60.0
ANSWER_S: Final = 5.0

Figures = Mapping[str, float | int]


def healthy(figures: Figures) -> bool:
    """Whether it polls. Doors that do not answer do not count: restarting the trigger would not help them."""
    return figures["last_poll_age_s"] <= SILENT_MAX_S


async def serve(port: int, figures: Callable[[], Figures]) -> asyncio.Server:
    """Answers every request with the figures: 200, or 503 when it has not polled for a minute."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await reader.readuntil(b"\r\n\r\n")
                now = figures()
                body = json.dumps(now).encode()
                status = b"200 OK" if healthy(now) else b"503 Service Unavailable"
                head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
                writer.write(b"HTTP/1.1 " + status + b"\r\n" + head % len(body) + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has disconnected
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port)


def ask(port: int) -> tuple[bool, str]:
    """Whether the trigger at this port is healthy, and its answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=ANSWER_S) as answer:
            return True, answer.read().decode()
    except OSError as error:  # also raised for a status other than 200
        return False, f"{type(error).__name__}: {error}"
