from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest

from infra.servers.moto import REGION, EmbeddedMoto
from shared_lib.channels.base import Message
from shared_lib.channels.email_ses import SesEmail, ses_client

CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
MAIL_FROM = "Cinema <billing@cinema.example>"
NOW = datetime(2026, 11, 23, 5, 54, tzinfo=UTC)


@pytest.fixture
def ses(moto: EmbeddedMoto) -> EmbeddedMoto:
    """An SES that lets our domain send."""
    moto.verify_domain("cinema.example")
    return moto


@pytest.fixture
def message() -> Message:
    return Message(
        notification_id="ntf_01JD",
        to="anna@example.com",
        subject="Оплачено: «Сталкер», 12,99 €",
        text="Спасибо! Номер заказа: ord_01JD\n",
        html="<!doctype html><p>Спасибо! <b>ord_01JD</b></p>\n",
        locale="ru",
        headers={"X-Event-Type": "billing.order.paid"},
    )


def ses_at(url: str, *, mail_from: str = MAIL_FROM, timeout_s: float = 5.0) -> SesEmail:
    factory = partial(
        ses_client,
        REGION,
        endpoint_url=url,
        connect_timeout_s=timeout_s,
        read_timeout_s=timeout_s,
        **CREDENTIALS,
    )
    return SesEmail(factory, mail_from=mail_from, now=lambda: NOW)


class Stranger:
    """An HTTP server of few words: says `answer` and closes, or says nothing and holds the line."""

    def __init__(self) -> None:
        self.answer: bytes | None = None
        self.requests = 0
        self.url = ""
        self._over = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line.lower()
        )
        await reader.readexactly(length)
        self.requests += 1
        if self.answer is None:
            await self._over.wait()
        else:
            writer.write(self.answer)
            await writer.drain()
        writer.close()

    def refuse(self, status: int, code: str, why: str = "no") -> None:
        body = json.dumps({"message": why}).encode()
        head = f"HTTP/1.1 {status} No\r\nx-amzn-ErrorType: {code}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answer = head.encode() + body

    def let_go(self) -> None:
        self._over.set()


@pytest.fixture
async def stranger() -> AsyncIterator[Stranger]:
    """Stands where SES should be; by default it takes the mail and never answers."""
    stranger = Stranger()
    server = await asyncio.start_server(stranger.talk, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    stranger.url = f"http://{host}:{port}"
    async with server:
        yield stranger
        stranger.let_go()
        await asyncio.sleep(0.05)
