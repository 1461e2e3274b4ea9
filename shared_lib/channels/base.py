# ruff: noqa: N818  # "except SendUnknown" says it; an Error suffix would add nothing
"""The port of a channel: one message to one person, and errors told apart by what the caller does next.

ChannelError
  SendLater        surely not sent: the same message may be sent again
  SendRefused      surely not sent, and never will be: its address is at fault
  SendUnknown      MAY have been sent: never again by itself, a person decides
  ChannelStopped   surely not sent, because of us: nothing goes out until that is mended; keep the queue, page
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one person is told. `notification_id` travels along, so that bounces and doubts can be matched."""

    notification_id: str
    to: str
    subject: str
    text: str
    html: str
    locale: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The channel has taken the message over; `receipt` is its own id for it."""

    receipt: str


class Channel(Protocol):
    async def send(self, message: Message) -> Sent:
        """Hand the message over once, without hidden retries. Raises a ChannelError.

        Canceling the call does not recall the message: treat it as SendUnknown.
        """
        ...


class ChannelError(Exception):
    """A message that was not taken over for certain. Carries the channel's code, never an address or a body."""

    may_have_been_sent: ClassVar[bool] = False
    may_be_sent_again: ClassVar[bool] = False

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class SendLater(ChannelError):
    """Throttled, or nobody took the connection: surely not sent."""

    may_be_sent_again = True


class SendRefused(ChannelError):
    """The channel will never take this message, whatever we mend: a bad address."""


class SendUnknown(ChannelError):
    """It had left when the answer failed to come."""

    may_have_been_sent = True


class ChannelStopped(ChannelError):
    """Our sender, account, quota or credentials are refused: no message goes out."""

    may_be_sent_again = True
