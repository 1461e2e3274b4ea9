"""CloudEvent cinema.playback.started: the first play starts a rental's 48 hours.

Other events of the cinema's topic are accepted and ignored, because a KafkaSource delivers all of them; the trigger skips them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel

from shared_lib.contract.events import PLAYBACK_STARTED
from shared_lib.domain.playing import Played
from shared_lib.events.delivered import consumer
from shared_lib.events.incoming import Incoming, InvalidEventError, data_of
from shared_lib.log import note
from shared_lib.phases.playback import start_playback
from shared_lib.runtime import runtime
from shared_lib.web import framework
from shared_lib.web.gated import gated

OURS: Final = "billing"  # on the cinema's topic by mistake: refused, and so kept as a dead letter
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)


class PlaybackStarted(BaseModel):
    """Data of the cinema's event."""

    customer_id: str
    product_id: str
    started_at: AwareDatetime


@framework.http
@gated
@consumer
async def playback(event: Incoming) -> None:
    if event.type != PLAYBACK_STARTED:
        if event.type.partition(".")[0] == OURS:
            raise InvalidEventError(f"{event.type} is not for playback")
        note(play="none of ours")
        return
    started = data_of(event, PlaybackStarted)
    play = Played(
        source=event.source,
        event_id=event.id,
        customer_id=started.customer_id,
        product_id=started.product_id,
        started_at=in_utc(started.started_at),
    )
    note(customer=play.customer_id, play=await runtime().run(start_playback, play))


def in_utc(claimed: datetime) -> datetime:
    """The instant in UTC. In the years 1 and 9999 an offset may lead out of the calendar: then its first or last instant."""
    try:
        return claimed.astimezone(UTC)
    except OverflowError:
        return EARLIEST if claimed.year == EARLIEST.year else LATEST
