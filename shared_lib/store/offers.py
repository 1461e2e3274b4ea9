"""Reads what can be sold to a batch of customers, and keeps the customers as the Auth service describes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from shared_lib.billing.context import Holder
from shared_lib.billing.offers import Offers
from shared_lib.billing.order_requests import Buyer, OrderRequest
from shared_lib.billing.orders import PAY_WITHIN
from shared_lib.billing.reports import SavedMethodRef
from shared_lib.domain.catalog import Price, PriceKind
from shared_lib.domain.order import Place
from shared_lib.domain.values import Value
from shared_lib.ids import before_all
from shared_lib.store.bulk import array_literal
from shared_lib.store.methods import method_of
from shared_lib.store.rows import PRICES
from shared_lib.store.transaction import Question, Row, Transaction

TURN_CLASS: Final = 7_263_004
"""First half of the advisory locks' names, beside those of workers/shards.py; the second half stands for a customer."""

# One customer's requests take turns, whichever process they reach: each is decided knowing what the ones before it opened.
_TURNS = f"""
    SELECT pg_advisory_xact_lock({TURN_CLASS}, turn) FROM (
        SELECT DISTINCT hashtext(customer_id) AS turn FROM unnest(%s::text[]) AS want (customer_id) ORDER BY 1
    ) AS turns
"""

_OFFERS = f"""
    SELECT want.customer_id, {PRICES.select}, had.bought, had.rented,
        CASE WHEN prices.interval_unit IS NOT NULL THEN coalesce((
            SELECT bool_or(s.status IN ('trialing', 'active', 'past_due', 'suspended', 'paused')) FROM subscriptions s
            WHERE s.customer_id = want.customer_id AND s.product_id = prices.product_id
              AND s.status NOT IN ('incomplete', 'incomplete_expired')),
            (SELECT false FROM trials t
             WHERE t.product_id = prices.product_id AND t.identity = 'customer:' || want.customer_id)) END,
        h.id, h.status = 'pending',
        (SELECT count(*) FROM orders o
         WHERE o.customer_id = want.customer_id AND o.id > %s AND o.status = 'pending' AND o.holds),
        c.email, c.locale, c.time_zone
    FROM unnest(%s::text[], %s::text[]) AS want (customer_id, price_id)
    JOIN prices ON prices.id = want.price_id JOIN products ON products.id = prices.product_id
    LEFT JOIN LATERAL (
        SELECT bool_or(e.kind = 'purchase') AS bought, bool_or(e.kind = 'rental') AS rented FROM entitlements e
        WHERE e.customer_id = want.customer_id AND e.product_id = prices.product_id
          AND e.status = 'active' AND (e.ends_at IS NULL OR e.ends_at > boxoffice_now())
    ) AS had ON prices.interval_unit IS NULL
    LEFT JOIN LATERAL (  -- LIMIT: looked up one by one, whatever the planner believes of how many hold
        SELECT o.id, o.status FROM orders o
        WHERE o.customer_id = want.customer_id AND o.product_id = prices.product_id AND o.kind = prices.kind AND o.holds
        LIMIT 1
    ) AS h ON true
    LEFT JOIN customers c ON c.id = want.customer_id
"""


class OffersQuery(Value):
    """The questions, on their way: they travel with the claim of the keys."""

    tx: Transaction
    offers: Question
    methods: Question | None

    @classmethod
    async def ask(cls, tx: Transaction, requests: Sequence[OrderRequest]) -> OffersQuery:
        """Also makes the customers' requests take turns until the transaction ends."""
        customers = array_literal([request.buyer.customer_id for request in requests])
        await tx.ask(_TURNS, [customers])
        recent = before_all("ord", of_the_last=PAY_WITHIN + timedelta(hours=1))
        prices = array_literal([request.price_id for request in requests])
        offers = await tx.ask(_OFFERS, [recent, customers, prices])
        return cls(tx, offers, await _ask_methods(tx, [one for one in requests if one.payment_method_id]))

    async def answer(self) -> Offers:
        rows = await self.offers.rows()
        methods: dict[tuple[str, str], SavedMethodRef] = {}
        for customer_id, method_id, *method_row in await self.methods.rows() if self.methods else ():
            if method := method_of(*method_row):
                methods[customer_id, method_id] = method
        return _offers(self.tx, rows, methods)


def _offers(tx: Transaction, rows: Sequence[Row], methods: dict[tuple[str, str], SavedMethodRef]) -> Offers:
    prices: dict[str, Price] = {}
    owned: set[Place] = set()
    holders: dict[Place, Holder] = {}
    open_orders: dict[str, int] = {}
    subscribed_before: set[tuple[str, str]] = set()
    buyers: dict[str, Buyer] = {}
    for row in rows:
        customer_id, price_id, *_, locale, time_zone = row
        bought, rented, subscribed, holder_id, waits, waiting, email = row[-9:-2]
        price = prices.get(price_id) or prices.setdefault(price_id, PRICES.of(row[1:-9]))
        product_id, open_orders[customer_id] = price.product_id, waiting
        if locale is not None:  # else the customer has no row
            buyers[customer_id] = Buyer(
                customer_id=customer_id, email=email, locale=locale, time_zone=time_zone
            )
        if bought:
            owned.add((customer_id, product_id, PriceKind.PURCHASE))
        if rented:
            owned.add((customer_id, product_id, PriceKind.RENTAL))
        if subscribed:
            owned.add((customer_id, product_id, PriceKind.SUBSCRIPTION))
        if subscribed is not None:
            subscribed_before.add((customer_id, product_id))
        if holder_id:
            holders[customer_id, product_id, price.kind] = Holder(holder_id, waits)
    return Offers(
        now=tx.now,
        prices=prices,
        owned=frozenset(owned),
        holders=holders,
        open=open_orders,
        subscribed_before=frozenset(subscribed_before),
        methods=methods,
        buyers=buyers,
    )


async def _ask_methods(tx: Transaction, requests: Sequence[OrderRequest]) -> Question | None:
    if not requests:
        return None
    return await tx.ask(
        """
        SELECT customer_id, id, provider, provider_ref, provider_customer_ref, brand, last4, expires
        FROM payment_methods
        WHERE (customer_id, id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) AND usable AND deleted_at IS NULL
        """,
        [
            [request.buyer.customer_id for request in requests],
            [request.payment_method_id for request in requests],
        ],
    )


def keep_buyers(tx: Transaction, offers: Offers, buyers: Sequence[Buyer]) -> None:
    """Keep whom to write to, in the customer's language. Written only when something changed.

    What a token does not say, or says of an address that is not proven, replaces nothing: receipts would stop.
    """
    latest: dict[str, Buyer] = {}
    for buyer in buyers:
        latest[buyer.customer_id] = buyer.completed(latest.get(buyer.customer_id))
    changed = [latest[id_] for id_ in sorted(latest) if offers.says_more(latest[id_])]
    if not changed:
        return
    tx.later(
        """
        WITH new AS (
            SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS new (id, email, locale, time_zone)
        )
        INSERT INTO customers (id, email, locale, time_zone, updated_at)
        SELECT id, email, coalesce(locale, 'en'), coalesce(time_zone, 'UTC'), %s FROM new
        ON CONFLICT (id) DO UPDATE SET updated_at = EXCLUDED.updated_at,
            email = coalesce(EXCLUDED.email, customers.email),
            locale = coalesce((SELECT locale FROM new WHERE new.id = EXCLUDED.id), customers.locale),
            time_zone = coalesce((SELECT time_zone FROM new WHERE new.id = EXCLUDED.id), customers.time_zone)
        """,
        [
            array_literal([buyer.customer_id for buyer in changed]),
            array_literal([buyer.email for buyer in changed]),
            array_literal([buyer.locale for buyer in changed]),
            array_literal([buyer.time_zone for buyer in changed]),
            tx.now,
        ],
    )
