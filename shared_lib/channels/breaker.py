"""A circuit breaker: a channel that refuses our account is paused, because it would refuse every message."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from shared_lib.channels.base import Channel, ChannelStopped, Message, Sent

PAUSE_FIRST_S: Final = 1.0
PAUSE_MOST_S: Final = 60.0

log = structlog.get_logger("boxoffice")


class StoppableChannel:
    """A Channel that wraps another. Its state is this instance's: other instances find out with one message each.

    While it is stopped, messages are refused with ChannelStopped without being sent; after each pause, which doubles,
    one message tries. `clock` counts seconds.
    """

    def __init__(self, channel: Channel, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel, self._clock = channel, clock
        self._code: str | None = None
        self._pause_s = PAUSE_FIRST_S
        self._until = 0.0

    async def send(self, message: Message) -> Sent:
        """Send one message. Raises a ChannelError; the alarm is `mail_channel_stopped`."""
        trial = self._code is not None
        if self._code is not None:
            if self._clock() < self._until:
                raise ChannelStopped(self._code, "not asked again yet")
            self._until = self._clock() + self._pause_s  # this message tries, the others keep waiting
        try:
            sent = await self._channel.send(message)
        except ChannelStopped as stopped:
            # Messages in flight together are all refused: only the first one stops the channel.
            if trial or self._code is None:
                self._stop(stopped.code)
            raise
        if self._code is not None:
            log.info("mail_channel_resumed", code=self._code)
            self._code, self._pause_s = None, PAUSE_FIRST_S
        return sent

    def _stop(self, code: str) -> None:
        if self._code is not None:
            self._pause_s = min(2 * self._pause_s, PAUSE_MOST_S)
        self._code, self._until = code, self._clock() + self._pause_s
        log.error("mail_channel_stopped", code=code, pause_s=self._pause_s)
