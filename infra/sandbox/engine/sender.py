"""Sends the queued webhooks: at least once, in no promised order, for about three days."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from functools import partial
from itertools import islice

import httpx

from infra.sandbox.engine.clock import SECOND_US, wall_s
from infra.sandbox.engine.core import Sandbox
from infra.sandbox.engine.database import Row, many

RETRY_AFTER_S = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Waits after the first, second ... failed attempt, divided by the speed; then the delivery is given up."""

JITTER = 0.2
TIMEOUT_S = 15.0
AT_ONCE = 16
LONGEST_NAP_S = 1.0

log = logging.getLogger("sandbox.webhooks")

_DUE = """
SELECT d.seq, d.attempts, d.due_wall_s, e.id, e.type, e.body, p.url, p.secret, p.face, p.id AS endpoint
  FROM deliveries d JOIN events e ON e.id = d.event JOIN endpoints p ON p.id = d.endpoint
 WHERE p.enabled AND """


class WebhookSender:
    """Sends what is due. Its state is in the database: after a restart it reads the queue again."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        self._sending: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until canceled."""
        while True:
            self._sandbox.changed.clear()
            self._start_due()
            await self._nap()

    async def aclose(self) -> None:
        """Deliveries that were under way are sent again after the next start."""
        sending = list(self._sending.values())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await self._http.aclose()

    async def release(self, *, newest_first: bool) -> int:
        """Send the held deliveries, one after another. Returns how many."""
        with self._sandbox.db.transaction() as tx:
            held = many(tx, _DUE + "d.state = 'held' ORDER BY d.seq")
        for row in reversed(held) if newest_first else held:
            await self._deliver(row)
        return len(held)

    def _waiting(self) -> list[Row]:
        """The next deliveries, the earliest first, without those under way."""
        with self._sandbox.db.transaction() as tx:
            rows = many(tx, _DUE + "d.state = 'waiting' ORDER BY d.due_wall_s, d.seq LIMIT ?", 2 * AT_ONCE)
        return [row for row in rows if row["seq"] not in self._sending]

    def _start_due(self) -> None:
        due = (row for row in self._waiting() if row["due_wall_s"] <= wall_s())
        for row in islice(due, AT_ONCE - len(self._sending)):
            task = asyncio.create_task(self._deliver(row))
            self._sending[row["seq"]] = task
            task.add_done_callback(partial(self._done, row["seq"]))

    def _done(self, seq: int, _: asyncio.Task[None]) -> None:
        del self._sending[seq]
        self._sandbox.changed.set()

    async def _nap(self) -> None:
        """Sleep until the next delivery is due, one was queued, or one has ended."""
        waiting = self._waiting() if len(self._sending) < AT_ONCE else []
        nap_s = min([LONGEST_NAP_S, *(max(row["due_wall_s"] - wall_s(), 0.0) for row in waiting)])
        with suppress(TimeoutError):
            await asyncio.wait_for(self._sandbox.changed.wait(), nap_s)

    async def _deliver(self, row: Row) -> None:
        timestamp_s, body = self._sandbox.now_us() // SECOND_US, row["body"].encode()
        headers = self._sandbox.webhooks[row["face"]].headers(row["secret"], row["id"], timestamp_s, body)
        try:
            answer = await self._http.post(row["url"], content=body, headers=headers)
            self._record(row, answer.status_code, str(answer.status_code))
        except httpx.HTTPError as error:
            self._record(row, None, type(error).__name__)

    def _record(self, row: Row, status: int | None, result: str) -> None:
        attempts = row["attempts"] + 1
        delivered = status is not None and 200 <= status < 300
        out_of_tries = attempts > len(RETRY_AFTER_S)
        state = "delivered" if delivered else "given_up" if out_of_tries or status == 410 else "waiting"
        due = wall_s() + (0 if state != "waiting" else self._wait_s(attempts))
        with self._sandbox.db.transaction() as tx:
            tx.execute(
                "UPDATE deliveries SET state = ?, attempts = ?, due_wall_s = ?, last_answer = ? WHERE seq = ?",
                (state, attempts, due, result, row["seq"]),
            )
            if status == 410:
                tx.execute("UPDATE endpoints SET enabled = 0 WHERE id = ?", (row["endpoint"],))
        log.info("%s %s attempt %d: %s, %s", row["type"], row["id"], attempts, result, state)

    def _wait_s(self, attempts: int) -> float:
        wait_s = RETRY_AFTER_S[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)
        return wait_s / self._sandbox.config.speed
