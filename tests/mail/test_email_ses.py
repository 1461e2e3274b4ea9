"""Mail through SES: what arrives at a real moto server, and what each failure means."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.servers.moto import REGION, EmbeddedMoto
from shared_lib.channels.base import (
    Channel,
    ChannelError,
    ChannelStopped,
    Message,
    SendLater,
    SendRefused,
    SendUnknown,
)
from shared_lib.channels.breaker import StoppableChannel
from shared_lib.channels.email_ses import SesEmail, mailbox, ses_client
from shared_lib.domain.values import replace
from tests.mail.conftest import Stranger, ses_at


async def test_the_mail_arrives_whole(ses: EmbeddedMoto, message: Message) -> None:
    channel: Channel = ses_at(ses.url)
    sent = await channel.send(message)
    mime = next(mail.message for mail in ses.sent() if mail.message_id == sent.receipt)
    assert mime["Subject"] == "Оплачено: «Сталкер», 12,99 €"
    assert mime["From"] == "Cinema <billing@cinema.example>"
    assert mime["To"] == "anna@example.com"
    assert mime["X-Notification-Id"] == "ntf_01JD"
    assert mime["Message-ID"] == "<ntf_01JD@cinema.example>"
    assert mime["Date"].datetime.isoformat() == "2026-11-23T05:54:00+00:00"
    assert mime["X-Event-Type"] == "billing.order.paid"
    assert mime["Content-Language"] == "ru"
    assert mime["Auto-Submitted"] == "auto-generated"
    assert mime.get_content_type() == "multipart/alternative"
    text, html = mime.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n") == message.text
    assert html.get_content().replace("\r\n", "\n") == message.html


async def test_many_mails_at_once_share_one_client(ses: EmbeddedMoto, message: Message) -> None:
    channel = ses_at(ses.url)
    many = [replace(message, notification_id=f"ntf_{n}") for n in range(20)]
    sent = await asyncio.gather(*(channel.send(one) for one in many))
    seen = {mail.message_id: mail.message["X-Notification-Id"] for mail in ses.sent()}
    assert [seen[one.receipt] for one in sent] == [one.notification_id for one in many]
    assert all(mail.recipients == ("anna@example.com",) for mail in ses.sent())


async def test_an_unverified_sender_stops_the_channel(ses: EmbeddedMoto, message: Message) -> None:
    with pytest.raises(ChannelStopped) as refused:
        await ses_at(ses.url, mail_from="billing@elsewhere.example").send(message)
    assert refused.value.code == "MessageRejected"


async def test_nobody_listening_means_surely_not_sent(message: Message, unused_tcp_port: int) -> None:
    with pytest.raises(SendLater) as later:
        await ses_at(f"http://127.0.0.1:{unused_tcp_port}").send(message)
    assert later.value.may_be_sent_again
    assert not later.value.may_have_been_sent


async def test_silence_after_the_mail_has_left_is_unknown_and_asked_once(
    stranger: Stranger, message: Message
) -> None:
    with pytest.raises(SendUnknown) as unknown:
        await ses_at(stranger.url, timeout_s=0.5).send(message)
    assert unknown.value.may_have_been_sent
    assert not unknown.value.may_be_sent_again
    assert stranger.requests == 1


async def test_a_hang_up_after_the_mail_has_left_is_unknown_and_asked_once(
    stranger: Stranger, message: Message
) -> None:
    stranger.answer = b""
    with pytest.raises(SendUnknown):
        await ses_at(stranger.url).send(message)
    assert stranger.requests == 1


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (429, "TooManyRequestsException", SendLater),
        (400, "LimitExceededException", SendLater),
        (400, "ThrottlingException", SendLater),
        (503, "ServiceUnavailable", SendLater),
        (400, "MessageRejected", SendLater),
        (400, "MailFromDomainNotVerifiedException", ChannelStopped),
        (404, "NotFoundException", ChannelStopped),
        (400, "BadRequestException", SendLater),
        (400, "AccountSuspendedException", ChannelStopped),
        (400, "SendingPausedException", ChannelStopped),
        (403, "UnrecognizedClientException", ChannelStopped),
        (403, "AccessDeniedException", ChannelStopped),
        (500, "InternalServiceErrorException", SendUnknown),
        (502, "BadGateway", SendUnknown),
    ],
)
async def test_each_refusal_of_ses_has_one_meaning(
    stranger: Stranger, message: Message, status: int, code: str, meaning: type[ChannelError]
) -> None:
    stranger.refuse(status, code)
    with pytest.raises(ChannelError) as refused:
        await ses_at(stranger.url).send(message)
    assert type(refused.value) is meaning
    assert refused.value.code == code
    assert stranger.requests == 1
    assert message.to not in str(refused.value)


NOT_VERIFIED = (
    "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: "
)


@pytest.mark.parametrize(
    ("code", "why", "meaning"),
    [
        ("MessageRejected", NOT_VERIFIED + "Cinema <billing@cinema.example>", ChannelStopped),
        (
            "MessageRejected",
            NOT_VERIFIED + "anna@example.com",
            ChannelStopped,
        ),  # the account is in the sandbox
        ("BadRequestException", "Configuration set <main> does not exist.", ChannelStopped),
        ("BadRequestException", "Sending is paused for this account.", ChannelStopped),
        ("MessageRejected", "Sending has been disabled for this account", ChannelStopped),
        ("ThrottlingException", "Daily message quota exceeded.", ChannelStopped),
        ("ThrottlingException", "Maximum sending rate exceeded.", SendLater),
        ("BadRequestException", "Missing final '@domain'", SendRefused),
        ("BadRequestException", "Domain contains dot-dot", SendRefused),
        ("BadRequestException", "Invalid email address anna@example.com", SendRefused),
        ("BadRequestException", "Local address contains control or whitespace", SendRefused),
        ("MessageRejected", "Address is blacklisted.", SendRefused),
        ("MessageRejected", "Message contains a virus", SendLater),
    ],
)
async def test_only_a_no_about_the_address_is_final(
    stranger: Stranger, message: Message, code: str, why: str, meaning: type[ChannelError]
) -> None:
    stranger.refuse(400, code, why)
    with pytest.raises(ChannelError) as refused:
        await ses_at(stranger.url).send(message)
    assert type(refused.value) is meaning
    assert "@" not in str(refused.value)


async def test_a_stopped_channel_is_asked_by_one_message_after_each_pause(
    stranger: Stranger, message: Message
) -> None:
    now = 0.0
    stranger.refuse(400, "AccountSuspendedException")
    channel = StoppableChannel(ses_at(stranger.url), clock=lambda: now)

    async def sent() -> int:
        before = stranger.requests
        for _ in range(5):
            with pytest.raises(ChannelStopped):
                await channel.send(message)
        return stranger.requests - before

    assert await sent() == 1
    for pause_s in (1, 2, 4, 8, 16, 32, 60, 60):
        now += pause_s - 0.01
        assert await sent() == 0
        now += 0.02
        assert await sent() == 1


async def test_a_stopped_channel_goes_on_as_soon_as_one_message_is_taken(
    ses: EmbeddedMoto, message: Message
) -> None:
    now = 0.0
    await asyncio.to_thread(ses.reset)
    channel = StoppableChannel(ses_at(ses.url), clock=lambda: now)
    with pytest.raises(ChannelStopped):
        await channel.send(message)
    ses.verify_domain("cinema.example")
    with pytest.raises(ChannelStopped):
        await channel.send(message)
    now += 1.1
    for _ in range(3):
        await channel.send(message)
    assert len(ses.sent()) == 3


async def test_missing_credentials_stop_the_channel(
    monkeypatch: pytest.MonkeyPatch, stranger: Stranger, message: Message
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    channel = ses_at(stranger.url)
    channel._client = ses_client(REGION, endpoint_url=stranger.url)
    with pytest.raises(ChannelStopped):
        await channel.send(message)
    assert stranger.requests == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"to": ""},
        {"to": "anna"},
        {"to": "anna@"},
        {"to": "a@example.com, b@example.com"},
        {"to": "a@example.com\r\nBcc: b@example.com"},
        {"to": "анна@example.com"},
        {"subject": "paid\r\nBcc: b@example.com"},
        {"headers": {"X-One": "a\r\nBcc: b@example.com"}},
        {"headers": {"subject": "another"}},
        {"headers": {"x-notification-id": "ntf_other"}},
        {"headers": {"To": "b@example.com"}},
    ],
    ids=str,
)
async def test_a_message_that_smuggles_or_lacks_an_address_is_refused_unsent(
    stranger: Stranger, message: Message, changed: dict[str, Any]
) -> None:
    with pytest.raises(SendRefused):
        await ses_at(stranger.url).send(replace(message, **changed))
    assert stranger.requests == 0


def test_a_cyrillic_domain_travels_as_ascii() -> None:
    assert mailbox("anna@пример.рф") == "anna@xn--e1afmkfd.xn--p1ai"


def test_importing_the_channel_does_not_import_boto3() -> None:
    code = "import sys, shared_lib.channels.email_ses; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(
    to=st.one_of(st.text(max_size=300), st.text(alphabet='a@[]."\\<>, \r\n\0', max_size=12)),
    subject=st.text(max_size=600),
)
@example(to="a@[", subject="Paid")
def test_any_text_in_a_message_is_sent_or_refused_and_nothing_else(to: str, subject: str) -> None:
    taken: list[dict[str, Any]] = []

    class Ses:
        def send_email(self, **request: Any) -> dict[str, Any]:
            taken.append(request)
            return {"MessageId": "m_1"}

    channel = SesEmail(
        Ses, mail_from="billing@cinema.example", now=lambda: datetime(2026, 11, 23, tzinfo=UTC)
    )
    message = Message(notification_id="ntf_1", to=to, subject=subject, text="t", html="<p>t</p>", locale="en")
    try:
        asyncio.run(channel.send(message))
    except SendRefused:
        assert taken == []
    else:
        ((address,),) = (request["Destination"]["ToAddresses"] for request in taken)
        assert address.isascii()


async def test_messages_under_way_together_stop_the_channel_once(ses: EmbeddedMoto, message: Message) -> None:
    now = 0.0
    await asyncio.to_thread(ses.reset)
    channel = StoppableChannel(ses_at(ses.url), clock=lambda: now)
    refused = await asyncio.gather(*(channel.send(message) for _ in range(8)), return_exceptions=True)
    assert {type(error) for error in refused} == {ChannelStopped}
    ses.verify_domain("cinema.example")
    now += 1.1  # the first pause, not the eighth
    await channel.send(message)
    assert len(ses.sent()) == 1
