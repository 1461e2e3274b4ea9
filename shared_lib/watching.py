"""Waiting for orders to change: one query serves every request that waits on this instance.

Another instance, or a provider's webhook, commits the change, so the database is polled. LISTEN and NOTIFY would be
sooner, and would serialize the commits of all processes that notify (decision 0029).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from shared_lib.domain.errors import Code, Refusal, Transient
from shared_lib.owned import beside, owned
from shared_lib.queries.account import OrderVersion, order_versions
from shared_lib.replies import RefusedError
from shared_lib.runtime import Runtime

LOOK_EVERY_S: Final = 0.25
PER_CUSTOMER: Final = 10  # browser tabs of one customer
PER_INSTANCE: Final = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Poll:
    """One request that waits: what it knows, and the future that says whether that has changed."""

    known: OrderVersion
    changed: asyncio.Future[bool]


class OrderWatch:
    """The long polls of one instance."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._polls: defaultdict[str, set[_Poll]] = defaultdict(set)
        self._per_customer: Counter[str] = Counter()
        self._looking: asyncio.Task[None] | None = None
        self.looks = 0

    @property
    def waiting(self) -> int:
        return self._per_customer.total()

    @contextmanager
    def place(self, customer_id: str) -> Iterator[None]:
        """A customer's place among the requests that wait. Raises RefusedError when there are too many."""
        if self._per_customer[customer_id] >= PER_CUSTOMER:
            raise RefusedError(
                Refusal(
                    Code.TOO_MANY_POLLS,
                    f"A customer may have at most {PER_CUSTOMER} long polls at a time.",
                    2,
                )
            )
        if self.waiting >= PER_INSTANCE:
            raise RefusedError(Refusal(Code.UNAVAILABLE, "This instance has too many long polls.", 2))
        self._per_customer[customer_id] += 1
        try:
            yield
        finally:
            self._per_customer[customer_id] -= 1
            if not self._per_customer[customer_id]:
                del self._per_customer[customer_id]

    async def changed(self, request: Request, order_id: str, known: OrderVersion, within_s: float) -> bool:
        """Wait until the order is another than the known one; False when the time is over, or this instance is going.

        Raises ClientDisconnect as soon as the caller hangs up, and what the look raised when it failed.
        """
        poll = _Poll(known, asyncio.get_running_loop().create_future())
        self._polls[order_id].add(poll)
        if self._looking is None:
            self._looking = owned(
                self._look_while_requests_wait(), name="order-watch", died=self._looking_died
            )
        try:
            async with beside(_hangs_up(request)) as (gone,):
                either: list[asyncio.Future[Any]] = [poll.changed, gone]
                await asyncio.wait(either, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
                if poll.changed.done():
                    return poll.changed.result()
                if gone.done():
                    raise ClientDisconnect
                return False
        finally:
            self._polls[order_id].discard(poll)
            if not self._polls[order_id]:
                del self._polls[order_id]

    async def _look_while_requests_wait(self) -> None:
        while self._polls:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._rt.stopping.is_set():
                # Their callers ask again, and reach an instance that stays: none is cut off when the server stops.
                for poll in self._unanswered():
                    poll.changed.set_result(False)
                break
            try:
                await self._look()
            except Transient as away:
                self._fail(away)
        self._looking = None

    def _looking_died(self, error: Exception) -> None:
        self._looking = None
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        for poll in self._unanswered():
            poll.changed.set_exception(error)

    def _unanswered(self) -> Iterator[_Poll]:
        return (poll for polls in self._polls.values() for poll in polls if not poll.changed.done())

    async def _look(self) -> None:
        order_ids = list(self._polls)
        if not order_ids:
            return
        self.looks += 1
        found = await self._rt.read(order_versions, order_ids)
        for order_id in order_ids:
            for poll in self._polls.get(order_id, ()):
                # An order that cannot be found any more is news, too.
                if found.get(order_id) != poll.known and not poll.changed.done():
                    poll.changed.set_result(True)


async def _hangs_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def order_watch(rt: Runtime) -> OrderWatch:
    """The one of this instance."""
    return rt.keep("order_watch", lambda: OrderWatch(rt))
