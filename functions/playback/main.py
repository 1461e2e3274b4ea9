"""CloudEvent cinema.playback.started: the first play starts a rental's 48 hours."""

from __future__ import annotations

from datetime import datetime

import functions_framework.aio
from pydantic import AwareDatetime, BaseModel

from shared_lib.events import Incoming, InvalidEventError, consumer, data_of
from shared_lib.phases.playback import Played, start_playback
from shared_lib.runtime import runtime


class PlaybackStarted(BaseModel):
    """Data of the cinema's event."""

    customer_id: str
    product_id: str
    started_at: AwareDatetime


@functions_framework.aio.cloud_event
@consumer
async def playback(event: Incoming) -> None:
    if event.type != "cinema.playback.started":
        raise InvalidEventError(f"{event.type} is not for playback")
    started = data_of(event, PlaybackStarted)
    at: datetime = started.started_at
    await runtime().run(
        start_playback,
        Played(
            source=event.source,
            event_id=event.id,
            customer_id=started.customer_id,
            product_id=started.product_id,
            started_at=at,
        ),
    )
