"""CloudEvents billing.*: mail the customer about what happened, once.

CloudEvent billing.job.tell_auto_renew: mail a change of auto_renew that is still in force after a minute.
CloudEvent billing.job.send_notification: send a mail again that was certainly not sent, for days. A mail that may have been
sent is never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from pydantic import BaseModel

from shared_lib.billing.events import JobType
from shared_lib.channels.base import Channel, ChannelError, Message
from shared_lib.channels.breaker import StoppableChannel
from shared_lib.channels.email_ses import SesEmail, ses_client
from shared_lib.domain.errors import Refusal, Transient
from shared_lib.domain.messages import NotificationStatus
from shared_lib.domain.values import replace
from shared_lib.domain.written import mailable
from shared_lib.events.delivered import consumer
from shared_lib.events.incoming import Incoming, InvalidEventError, data_of
from shared_lib.log import note
from shared_lib.mail.render import Brand, Rendered, UnrenderableError, render, template_of
from shared_lib.phases.notifications import (
    ClaimedNotification,
    ClaimNotification,
    MarkSent,
    SendAgain,
    claim_notifications,
    mark_sent,
)
from shared_lib.queries.mails import MailEvent, mail_facts
from shared_lib.runtime import Runtime, runtime
from shared_lib.settings import Settings
from shared_lib.web import framework
from shared_lib.web.gated import gated

DETAIL_CHARS_MAX: Final = 200

log = structlog.get_logger("boxoffice")


class SendNotification(BaseModel):
    """Data of the job."""

    event_id: str
    event_type: str
    data: dict[str, Any]


@framework.http
@gated
@consumer
async def notify(event: Incoming) -> None:
    late = event.type == JobType.SEND_NOTIFICATION
    if late:
        event = original_of(event)
    if not deserves_mail(event):
        return
    rt, customer_id = runtime(), str(event.data.get("customer_id", ""))
    known = await rt.read(mail_facts, MailEvent(type=event.type, customer_id=customer_id, data=event.data))
    if known is None:
        raise InvalidEventError(f"{event.type} is about nothing that its customer has")
    if not deserves_mail(replace(event, data=known.data)):
        return
    claim = ClaimNotification(
        event_id=event.id,
        event_type=event.type,
        customer_id=customer_id,
        data=event.data,
        change=known.change,
    )
    claimed = await rt.run(claim_notifications, claim)
    if isinstance(claimed, Refusal):
        raise Transient(claimed.detail)
    if claimed is None:
        return  # mailed already, or no mail is due
    if known.over:
        mark = MarkSent(
            id=claimed.id, status=NotificationStatus.SKIPPED, detail="over before it could be told"
        )
    else:
        mark = await send(rt, event, claimed, known.data)
    note(notification=mark.id, mail=mark.status, why=mark.detail)
    await rt.run(mark_sent, mark)


def original_of(job: Incoming) -> Incoming:
    """The event that the notification is about, as it was delivered first."""
    again = data_of(job, SendNotification)
    return replace(job, id=again.event_id, type=again.event_type, data=again.data)


def deserves_mail(event: Incoming) -> bool:
    try:
        return template_of(event.type, event.data) is not None
    except UnrenderableError as error:
        raise InvalidEventError(str(error)) from None


async def send(
    rt: Runtime, event: Incoming, claimed: ClaimedNotification, known: Mapping[str, Any]
) -> MarkSent:
    """Send one mail, with the data that our rows have now, and report the result."""
    address = mailable(claimed.email)  # it may have been stored before addresses were validated
    if address is None:
        return MarkSent(id=claimed.id, status=NotificationStatus.SKIPPED, detail="no address")
    try:
        mail = rendered(event.type, known, claimed.locale, brand(rt.settings))
        await channel(rt).send(message(mail, claimed, address, rt.settings.cinema_support_email))
    except ChannelError as error:
        again = SendAgain(
            claimed=claimed,
            event_id=event.id,
            event_type=event.type,
            data=event.data,
            trace=event.traceparent,
        )
        return MarkSent(
            id=claimed.id,
            status=status_after(error),
            detail=str(error)[:DETAIL_CHARS_MAX],
            again=again if error.may_be_sent_again else None,
        )
    except UnrenderableError as error:
        log.exception("unrenderable", event_id=event.id, type=event.type)
        return MarkSent(
            id=claimed.id, status=NotificationStatus.REFUSED, detail=str(error)[:DETAIL_CHARS_MAX]
        )
    return MarkSent(id=claimed.id, status=NotificationStatus.SENT)


def brand(settings: Settings) -> Brand:
    return Brand(
        name=settings.cinema_name,
        account_url=settings.cinema_account_url,
        support_email=settings.cinema_support_email,
    )


def rendered(event_type: str, known: Mapping[str, Any], locale: str, brand: Brand) -> Rendered:
    mail = render(event_type, known, locale, brand=brand)
    assert mail is not None  # template_of has found one
    return mail


def message(mail: Rendered, claimed: ClaimedNotification, email: str, reply_to: str) -> Message:
    return Message(
        notification_id=claimed.id,
        to=email,
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        locale=mail.language,
        headers={"Reply-To": reply_to},
    )


def status_after(error: ChannelError) -> NotificationStatus:
    if error.may_have_been_sent:
        return NotificationStatus.UNKNOWN
    return NotificationStatus.FAILED if error.may_be_sent_again else NotificationStatus.REFUSED


def channel(rt: Runtime) -> Channel:
    settings = rt.settings
    return rt.keep(
        "email",
        lambda: StoppableChannel(
            SesEmail(
                lambda: ses_client(settings.ses_region, endpoint_url=settings.ses_endpoint_url),
                mail_from=settings.mail_from,
                now=rt.now,
            )
        ),
    )
