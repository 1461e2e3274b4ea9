"""Whatever the mail service answers, sending ends with a receipt or a ChannelError."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from shared_lib.channels.base import ChannelError, Message
from shared_lib.channels.email_ses import SesEmail, ses_client
from tests.foreign.rude import ANSWERS, Answer, Rude, document, rude_server, whole
from tests.kit.waiting import PATIENCE_S

MAIL = Message(
    notification_id="ntf_1",
    to="ann@example.com",
    subject="Hello",
    text="Hello",
    html="<p>Hello</p>",
    locale="en",
)
WITHOUT_RECEIPT: dict[str, Answer] = {
    "no receipt": whole(b"{}"),
    "a receipt that is none": whole(document(MessageId=["a"])),
    "an empty receipt": whole(document(MessageId="")),
}
# Those without end are bounded by boto's time outs, which are longer than a test should take.
ENDLESS = ("drips", "without end", "bomb")


@pytest.fixture(scope="module")
def rude() -> Iterator[Rude]:
    with rude_server() as server:
        yield server


async def sent(rude: Rude, answer: Answer) -> str:
    rude.answer = answer
    channel = SesEmail(
        lambda: ses_client(
            "eu-central-1", endpoint_url=rude.url, aws_access_key_id="x", aws_secret_access_key="x"
        ),
        mail_from="Boxoffice <tickets@cinema.example>",
        now=lambda: datetime(2030, 1, 1, tzinfo=UTC),
    )
    async with asyncio.timeout(PATIENCE_S):
        return (await channel.send(MAIL)).receipt


@pytest.mark.parametrize("name", [name for name in ANSWERS if not any(word in name for word in ENDLESS)])
async def test_an_answer_that_cannot_be_read_is_a_channel_error(rude: Rude, name: str) -> None:
    with pytest.raises(ChannelError):
        await sent(rude, ANSWERS[name]())


@pytest.mark.parametrize("name", WITHOUT_RECEIPT)
async def test_an_answer_without_a_receipt_may_have_sent_the_mail(rude: Rude, name: str) -> None:
    with pytest.raises(ChannelError) as unknown:
        await sent(rude, WITHOUT_RECEIPT[name])
    assert unknown.value.may_have_been_sent


async def test_a_receipt_is_kept_up_to_a_length(rude: Rude) -> None:
    assert await sent(rude, whole(document(MessageId="m" * 5000))) == "m" * 200
