"""What settling must know beside the cases it has locked: places, trials, charges and methods. Read once for a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared_lib.billing.case import Case
from shared_lib.billing.reports import PaymentSnapshot
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.order import Order, OrderStatus, Place, place_of
from shared_lib.domain.values import Value, field, replace


class Holder(Value):
    """The order that has a place. `waits`: for its money; else it is paid, and perhaps over."""

    order_id: str
    waits: bool


class TrialClaims(Value):
    """The trials of a batch, claimed in the transaction that would begin them.

    `identities` by order id: the customer and the card that its trial uses up. `owners` by (product, identity): the order
    that has it.
    """

    identities: Mapping[str, Sequence[str]] = field(default_factory=dict)
    owners: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def may_begin(self, order: Order) -> bool:
        """Whether everything the order's trial uses up is its own. True for what is no trial."""
        used = self.identities.get(order.id, ())
        return all(self.owners[order.product_id, identity] == order.id for identity in used)


class SettlementContext(Value):
    """`owned` and `holders` change while a batch delivers: see `learn`.

    Two batches at once may both find a place free: then the database refuses one of them, and it reads again.
    """

    owned: frozenset[Place] = (
        frozenset()
    )  # what customers have now: bought, rented and not over, subscribed to
    holders: Mapping[Place, Holder] = field(default_factory=dict)
    recent_charges: Mapping[str, int] = field(default_factory=dict)  # of the last 30 days, by payment method
    trials: TrialClaims = TrialClaims()
    methods: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Our ids of the methods that the reports bring, by (provider, their id); one that is new has its id already."""
    new_methods: frozenset[str] = frozenset()
    """Which of these ids have no row yet."""

    def may_take(self, case: Case, order: Order) -> bool:
        """Whether the order's customer can still be given what it is for: they have none, and no other order waits."""
        customer_id, product_id, kind = place = place_of(order)
        bought = (customer_id, product_id, PriceKind.PURCHASE) in self.owned
        if place in self.owned or (kind is PriceKind.RENTAL and bought):
            return False
        holder = self.holders.get(place)
        if holder is None or holder.order_id == order.id:
            return True
        here = case.orders.get(holder.order_id)  # this case may have ended it
        waits = here.holds and here.status is OrderStatus.PENDING if here else holder.waits
        return not waits

    def former_holder(self, order: Order) -> str | None:
        """The other order that has the place which this one takes."""
        holder = self.holders.get(place_of(order))
        return holder.order_id if holder and holder.order_id != order.id else None

    def method_id(self, snapshot: PaymentSnapshot) -> str | None:
        """Our id of the method the snapshot carries, or None when it carries none."""
        method = snapshot.saved_method
        return self.methods[method.provider, method.method_id] if method else None

    def learn(self, before: Case | None, after: Case) -> SettlementContext:
        """The context for the next case of the batch: with the places that this one has taken or left."""
        owned, holders = self.owned, self.holders
        for order in after.orders.values():
            was = before.orders.get(order.id) if before else None
            if was is order:
                continue
            if not (order.holds or holders):
                continue
            place = place_of(order)
            if order.holds:
                holders = {**holders, place: Holder(order.id, waits=order.status is OrderStatus.PENDING)}
                if order.paid_at and (was is None or was.paid_at is None):
                    owned = owned | {place}
            elif (known := holders.get(place)) and known.order_id == order.id:
                holders = {key: holder for key, holder in holders.items() if key != place}
        if owned is self.owned and holders is self.holders:
            return self
        return replace(self, owned=owned, holders=holders)
