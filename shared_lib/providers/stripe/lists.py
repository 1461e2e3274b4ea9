"""Stripe's lists: newest first, a hundred a page, whole seconds. A payment is looked for in them by our id.

Stripe can search by metadata too, but only payment intents, and what was made within the last minute (in an incident, longer) may be
missing there. So the lists of the window are read, up to a limit, and what is older than they reach is searched for.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from shared_lib.providers.base import PaymentRef, PaymentSnapshot, RefundSnapshot, Unavailable
from shared_lib.providers.found import foremost
from shared_lib.providers.reading import mapping, text
from shared_lib.providers.stripe.amounts import NAME
from shared_lib.providers.stripe.answers import (
    EXPANDED_INTENT,
    EXPANDED_SESSION,
    expand,
    items_of,
    payment_of,
    readable,
    same,
)
from shared_lib.providers.stripe.objects import of_a_page, refund_of
from shared_lib.providers.transport import Exchange, Transport

PAGE: Final = 100
_PAGES_MAX: Final = 10_000
# Pages of each list that are read for one payment.
LOOKED_AT_MAX: Final = 10
# What is older than this is in the search, or Stripe has an incident of an hour.
INDEXED_WITHIN: Final = timedelta(hours=1)

SESSIONS: Final = "/v1/checkout/sessions"
INTENTS: Final = "/v1/payment_intents"
_EXPANDED: Final[Mapping[str, tuple[str, ...]]] = {SESSIONS: EXPANDED_SESSION, INTENTS: EXPANDED_INTENT}
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

Listed = tuple[Exchange, Mapping[str, Any]]
"""An object of a list, and the answer that it came in."""


class Reach(Enum):
    """How far a list was read."""

    ALL = "all"
    INDEXED = "indexed"  # not to its end, and what is left is old enough to be found by a search
    CUT_OFF = "cut off"


class Lists:
    """What a client reads from lists. Every method raises ProviderError."""

    def __init__(self, wire: Transport) -> None:
        self._wire = wire

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[PaymentSnapshot]:
        """Every payment created in [since, until), each once: the sessions, and the intents that belong to none."""
        window = {"created[gte]": _second(since), "created[lt]": _second(until)}
        for path in (SESSIONS, INTENTS):
            async for exchange, body in self._all(path, window | expand(_EXPANDED[path], "data.")):
                if not of_a_page(body):
                    yield readable(payment_of, body, exchange, mutates=False)

    async def refunds(self, payment: PaymentRef, intent: str) -> AsyncIterator[RefundSnapshot]:
        """Every refund of the intent that is `payment`."""

        def read(body: object) -> RefundSnapshot:
            return refund_of(body, payment.provider_payment_id)

        async for exchange, body in self._all("/v1/refunds", {"payment_intent": intent}):
            refund = readable(read, body, exchange, mutates=False)
            same("payment", intent, refund.payment.capture_id)
            yield refund

    async def find_payment(self, payment_id: str, since: datetime) -> PaymentSnapshot | None:
        """None only when there is certainly none. Raises Unavailable when that cannot be known now."""
        looked = [await self._looked_through(path, payment_id, since) for path in (SESSIONS, INTENTS)]
        found = [payment for listed, _ in looked for payment in listed]
        reach = {it for _, it in looked}
        if reach != {Reach.ALL}:
            found += await self._searched(payment_id)
        if not found and Reach.CUT_OFF in reach:
            raise Unavailable(NAME, "too_many_payments", "too much was made lately to know whether this was")
        distinct = {payment.ref.provider_payment_id: payment for payment in found}
        return foremost(sorted(distinct.values(), key=_age))

    async def payment_of(self, found: PaymentSnapshot, body: Mapping[str, Any]) -> PaymentSnapshot:
        """The session of an intent that belongs to one; any other payment is itself."""
        if not of_a_page(body) or found.ref.provider_payment_id != found.ref.capture_id:
            return found
        asked = {"payment_intent": found.ref.provider_payment_id, "limit": "1"}
        exchange = await self._wire.read(SESSIONS, asked | expand(EXPANDED_SESSION, "data."))
        sessions, _ = items_of(exchange)
        if not sessions:
            return found
        session = readable(payment_of, sessions[0], exchange, mutates=False)
        same("payment", found.ref.provider_payment_id, session.ref.capture_id)
        return session

    async def _looked_through(
        self, path: str, payment_id: str, since: datetime
    ) -> tuple[list[PaymentSnapshot], Reach]:
        """The newest objects of a list that carry our id, and how far back the list was read."""
        found: list[PaymentSnapshot] = []
        query = {"created[gte]": str(math.floor(since.timestamp()))} | expand(_EXPANDED[path], "data.")
        newest, after = None, None
        for _ in range(LOOKED_AT_MAX):
            exchange, items, after = await self._page(path, query, after)
            found += [
                readable(payment_of, body, exchange, mutates=False)
                for body in items
                if mapping(body.get("metadata")).get("payment_id") == payment_id and not of_a_page(body)
            ]
            if after is None:
                return found, Reach.ALL
            newest = newest if newest is not None else _created(items[0])
            if newest - _created(items[-1]) > INDEXED_WITHIN.total_seconds():
                return found, Reach.INDEXED
        return found, Reach.CUT_OFF

    async def _searched(self, payment_id: str) -> list[PaymentSnapshot]:
        query = {"query": f"metadata['payment_id']:'{payment_id}'", "limit": str(PAGE)}
        exchange = await self._wire.read(f"{INTENTS}/search", query | expand(EXPANDED_INTENT, "data."))
        found = []
        for body in items_of(exchange)[0]:
            payment = readable(payment_of, body, exchange, mutates=False)
            same("payment_id", payment_id, payment.payment_id)
            found.append(await self.payment_of(payment, body))
        return found

    async def _all(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Listed]:
        after: str | None = None
        for _ in range(_PAGES_MAX):
            before = after
            exchange, items, after = await self._page(path, query, before)
            for body in items:
                yield exchange, body
            if after is None:
                return
            if after == before:
                break
        raise Unavailable(NAME, "endless_list", "the pages of a list do not end")

    async def _page(
        self, path: str, query: Mapping[str, str], after: str | None
    ) -> tuple[Exchange, list[Mapping[str, Any]], str | None]:
        """One page, and what the next one starts after: None on the last page."""
        cursor = {} if after is None else {"starting_after": after}
        exchange = await self._wire.read(path, {**query, "limit": str(PAGE), **cursor})
        items, more = items_of(exchange)
        last = (
            readable(lambda body: text(mapping(body), "id"), items[-1], exchange, mutates=False)
            if more
            else None
        )
        return exchange, items, last


def _second(instant: datetime) -> str:
    """The first whole second that is not before it: Stripe counts in seconds."""
    return str(math.ceil(instant.timestamp()))


def _created(body: Mapping[str, Any]) -> int:
    created = body.get("created")
    return created if isinstance(created, int) else 0


def _age(payment: PaymentSnapshot) -> float:
    """The newest first."""
    return -(payment.created_at or _BEGINNING).timestamp()
