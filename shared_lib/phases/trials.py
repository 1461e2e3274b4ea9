"""One trial per plan for each customer and each card: claimed in the transaction that would begin it."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.order import BillingReason, CancelReason, Order, OrderEvent
from shared_lib.domain.payment import Payment, PaymentEvent, PaymentStatus
from shared_lib.domain.values import replace
from shared_lib.phases.closing import close_unpaid
from shared_lib.phases.desk import Desk
from shared_lib.phases.observations import Observed, payment_event
from shared_lib.providers.base import PaymentSnapshot

Claims = dict[str, list[str]]
"""By order: the identities its trial uses up."""


class Trials:
    """What the trials of a batch have claimed, and who has it."""

    def __init__(self, desk: Desk, claims: Claims, owners: dict[tuple[str, str], str]) -> None:
        self._desk, self._claims, self._owners = desk, claims, owners

    @classmethod
    async def read(cls, desk: Desk, observed: Sequence[Observed]) -> Trials:
        """Claim for every trial whose card has just been verified.

        The first to insert an identity has it. Another transaction that wants it too waits here until that is committed,
        so it is sorted: two batches take the same ones in the same order.
        """
        claims = await _claims(desk, observed)
        if not claims:
            return cls(desk, {}, {})
        wanted = sorted(
            (desk.orders[order_id].product_id, identity, desk.orders[order_id].customer_id, order_id)
            for order_id, identities in claims.items()
            for identity in identities
        )
        products, identities, customers, orders = (list(column) for column in zip(*wanted, strict=True))
        await desk.tx.ask(
            """
            INSERT INTO trials (product_id, identity, customer_id, order_id, used_at)
            SELECT new.*, boxoffice_now() FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[]) AS new
            ON CONFLICT DO NOTHING
            """,
            [products, identities, customers, orders],
        )
        rows = await desk.tx.fetch(
            """
            SELECT product_id, identity, order_id FROM trials
            WHERE (product_id, identity) IN (SELECT * FROM unnest(%b::text[], %b::text[]))
            """,
            [products, identities],
        )
        return cls(desk, claims, {(row[0], row[1]): row[2] for row in rows})

    def may_begin(self, order: Order) -> bool:
        """Whether everything the order's trial uses up is its own. True for what is no trial."""
        return all(
            self._owners[order.product_id, identity] == order.id
            for identity in self._claims.get(order.id, ())
        )

    def give_up(self, order: Order) -> None:
        """It does not begin, for another reason than that it was used: it may still be had."""
        if order.id in self._claims:
            self._desk.tx.later("DELETE FROM trials WHERE order_id = %s", [order.id])

    def refuse(self, order: Order, payment: Payment) -> None:
        """The order ends without access. What it has claimed stays, so its customer's next one is at the full price."""
        self._desk.put(replace(payment, surplus=True))
        close_unpaid(self._desk, order.id, OrderEvent.CANCELED, CancelReason.TRIAL_USED)


async def _claims(desk: Desk, observed: Sequence[Observed]) -> Claims:
    verified = [news for news in observed if _begins_a_trial(desk, news)]
    if not verified:
        return {}
    saved = await _card_keys(desk, [desk.payments[news.payment_id] for news in verified])
    claims: Claims = {}
    for news in verified:
        payment = desk.payments[news.payment_id]
        method = news.said.saved_method if isinstance(news.said, PaymentSnapshot) else None
        card = method.fingerprint if method else saved.get(payment.payment_method_id or "")
        claims[payment.order_id] = [f"customer:{desk.orders[payment.order_id].customer_id}"]
        if card:
            claims[payment.order_id].append(f"card:{card}")
    return claims


def _begins_a_trial(desk: Desk, news: Observed) -> bool:
    payment = desk.payments.get(news.payment_id)
    if payment is None or payment.status is PaymentStatus.SUCCEEDED:
        return False
    order = desk.orders[payment.order_id]
    return (
        order.billing_reason is BillingReason.SUBSCRIPTION_CREATE
        and desk.subscriptions[order.subscription_id or ""].trial_days > 0
        and payment_event(news.said) is PaymentEvent.SUCCEEDED
    )


async def _card_keys(desk: Desk, payments: Sequence[Payment]) -> dict[str, str]:
    """Of the saved methods that these payments name."""
    ids = sorted({payment.payment_method_id for payment in payments if payment.payment_method_id})
    if not ids:
        return {}
    rows = await desk.tx.fetch("SELECT id, card_key FROM payment_methods WHERE id = ANY(%s)", [ids])
    return {row[0]: row[1] for row in rows if row[1]}
