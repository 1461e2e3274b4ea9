# ruff: noqa: N818  # "except SendUnknown" says it; an Error suffix would add nothing
"""The port of a channel: one message to one customer, and errors grouped by what the caller does next.

ChannelError
  SendLater        not sent: the same message may be sent again
  SendRefused      not sent, and never will be: the address is wrong
  SendUnknown      MAY have been sent: no automatic retry, a person decides
  ChannelStopped   not sent, because of our account: no message goes out until that is fixed; keep the queue, alert
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from shared_lib.domain.values import Value, field


class Message(Value, kw_only=True):
    """One message. `notification_id` is sent along, so that bounces and complaints can be matched."""

    notification_id: str
    to: str
    subject: str
    text: str
    html: str
    locale: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Sent(Value, kw_only=True):
    """The channel has accepted the message; `receipt` is its id for it."""

    receipt: str


class Channel(Protocol):
    async def send(self, message: Message) -> Sent:
        """Send the message once, without hidden retries. Raises a ChannelError.

        A cancelled call may still have sent the message: treat it as SendUnknown.
        """
        ...


class ChannelError(Exception):
    """The channel has not confirmed the message. `code` is the channel's; no address and no body is kept."""

    may_have_been_sent: ClassVar[bool] = False
    may_be_sent_again: ClassVar[bool] = False

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class SendLater(ChannelError):
    """Throttled, or no connection: the message was not sent."""

    may_be_sent_again = True


class SendRefused(ChannelError):
    """The channel will never accept this message: a bad address."""


class SendUnknown(ChannelError):
    """The message was transmitted, but no answer came."""

    may_have_been_sent = True


class ChannelStopped(ChannelError):
    """Our sender, account, quota or credentials were refused: no message goes out."""

    may_be_sent_again = True
