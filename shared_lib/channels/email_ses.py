"""Mail through Amazon SES: our own MIME message, sent once.

SES has no idempotency token, so nothing below may retry: neither boto3 (`total_max_attempts=1`) nor its HTTP client. SES
replaces Message-ID and Date with its own; X-Notification-Id and the tag of the same name survive.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final, Protocol

from shared_lib.channels.base import (
    ChannelError,
    ChannelStopped,
    Message,
    SendLater,
    SendRefused,
    SendUnknown,
    Sent,
)
from shared_lib.domain.written import mailable

CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 10.0
CONNECTIONS_MAX: Final = 10
RECEIPT_CHARS_MAX: Final = 200

NOTIFICATION_HEADER: Final = "X-Notification-Id"

_LATER = frozenset(
    {
        "TooManyRequestsException",
        "LimitExceededException",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
    }
)
# Codes by which SES refuses our account.
_STOPPED = frozenset(
    {
        "AccountSendingPausedException",
        "AccountSuspendedException",
        "ConfigurationSetDoesNotExist",
        "ConfigurationSetDoesNotExistException",
        "ConfigurationSetSendingPausedException",
        "MailFromDomainNotVerified",
        "MailFromDomainNotVerifiedException",
        "NotFoundException",  # our configuration set or identity
        "OptInRequired",
        "SendingPausedException",
        # Our credentials, not this message: every other message would fail in the same way.
        "AccessDeniedException",
        "AccessDenied",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
# Other refusals are told apart by their text. "Email address is not verified. The following identities failed the check ..."
# names our sender or, while the account is in SES's sandbox, a customer: both times the account must be fixed.
_ABOUT_US: Final = re.compile(
    r"not verified|authority to send|sandbox|configuration set|sending (?:is |has been )?(?:paused|disabled)|daily (?:message|sending) quota",
    re.IGNORECASE,
)
_ABOUT_THE_ADDRESS: Final = re.compile(
    r"address|recipient|@domain|local part|domain (?:contains|starts|ends)", re.IGNORECASE
)


class SesClient(Protocol):
    """The one method we use of boto3's `sesv2` client."""

    def send_email(self, **request: Any) -> dict[str, Any]: ...


def ses_client(
    region: str,
    *,
    endpoint_url: str | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    **credentials: str,
) -> SesClient:
    """A boto3 client that tries once. `credentials` (aws_access_key_id, ...) default to the environment's."""
    # Imported here: it takes half a second, which only a process that sends mail should spend.
    import boto3.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    once = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        max_pool_connections=CONNECTIONS_MAX,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    session: Any = boto3.session.Session()
    client: SesClient = session.client(
        "sesv2", region_name=region, endpoint_url=endpoint_url, config=once, **credentials
    )
    return client


class SesEmail:
    """A Channel. The client is made on first use; `now` dates the mails."""

    def __init__(
        self, client_factory: Callable[[], SesClient], *, mail_from: str, now: Callable[[], datetime]
    ) -> None:
        self._client_factory, self._mail_from, self._now = client_factory, mail_from, now
        self._client: SesClient | None = None
        self._making = threading.Lock()

    async def send(self, message: Message) -> Sent:
        """Send one mail. Raises a ChannelError."""
        try:
            to = mailbox(message.to)
            mime = build_mime(message, to=to, mail_from=self._mail_from, sent_at=self._now())
        except Exception as error:
            raise SendRefused("message_invalid", type(error).__name__) from error
        return await asyncio.to_thread(self._send, message.notification_id, to, mime.as_bytes())

    def _send(self, notification_id: str, to: str, raw: bytes) -> Sent:
        try:
            answer = self._client_once().send_email(
                FromEmailAddress=self._mail_from,
                Destination={"ToAddresses": [to]},
                Content={"Raw": {"Data": raw}},
                EmailTags=[{"Name": "notification_id", "Value": notification_id}],
            )
        except Exception as error:
            raise _classified(error) from error
        receipt = answer.get("MessageId")
        if not isinstance(receipt, str) or not receipt:
            raise SendUnknown("no_receipt")  # perhaps accepted: sending it again could be a second mail
        return Sent(receipt=receipt[:RECEIPT_CHARS_MAX])

    def _client_once(self) -> SesClient:
        # boto3 clients may be shared between threads; making them may not.
        with self._making:
            if self._client is None:
                self._client = self._client_factory()
            return self._client


def build_mime(message: Message, *, to: str, mail_from: str, sent_at: datetime) -> EmailMessage:
    """The mail according to RFC 5322: text and HTML as alternatives, encoded as ASCII.

    Raises ValueError when a header contains a line break or appears twice.
    """
    mime = EmailMessage(policy=SMTP)
    mime["From"] = mail_from
    mime["To"] = to
    mime["Subject"] = message.subject
    mime["Date"] = sent_at
    # The same Message-ID for the same notification: a mailbox that gets it twice may show it once.
    mime["Message-ID"] = f"<{message.notification_id}@{mail_from.rpartition('@')[2].strip('> ')}>"
    mime[NOTIFICATION_HEADER] = message.notification_id
    mime["Auto-Submitted"] = "auto-generated"
    for name, value in message.headers.items():
        if name in mime:
            raise ValueError(f"the header {name} is ours to set")
        mime[name] = value
    mime.set_content(message.text, cte="quoted-printable")
    mime.add_alternative(message.html, subtype="html", cte="quoted-printable")
    mime["Content-Language"] = (
        message.locale
    )  # last: building the parts moves Content-* headers into the first
    return mime


def mailbox(address: str) -> str:
    """The address, if it is exactly one, bare and in ASCII (SES accepts no others). Raises ValueError."""
    found = mailable(address)
    if found is None:
        raise ValueError("an address is local@domain")
    return found


def _classified(error: Exception) -> ChannelError:
    """The ChannelError for an exception of boto3: SendUnknown unless it is certain that nothing was sent."""
    from botocore import exceptions as aws  # noqa: PLC0415 - lazily, like boto3

    match error:
        case aws.ClientError():
            return _refused_by_ses(error)
        case aws.EndpointConnectionError() | aws.ConnectTimeoutError() | aws.ProxyConnectionError():
            return SendLater("not_connected", type(error).__name__)
        case aws.CredentialRetrievalError():
            return SendLater("credentials_unavailable")
        case aws.NoCredentialsError() | aws.PartialCredentialsError():
            return ChannelStopped("credentials_missing")
        case aws.ParamValidationError():
            return SendLater("parameters_invalid")  # a setting of ours
        case _:
            return SendUnknown("no_answer", type(error).__name__)


def _refused_by_ses(error: Any) -> ChannelError:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = str(error.response.get("Error", {}).get("Message", ""))  # may contain an address: never passed on
    if code in _STOPPED or (400 <= status < 500 and _ABOUT_US.search(said)):
        return ChannelStopped(code)
    if code in _LATER or status in (429, 503):
        return SendLater(code)
    if not 400 <= status < 500:
        return SendUnknown(code)
    # A refusal of neither our account nor the address (a virus, an unknown limit) may be temporary.
    return SendRefused(code) if _ABOUT_THE_ADDRESS.search(said) else SendLater(code)
