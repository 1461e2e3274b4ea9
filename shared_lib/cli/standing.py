"""What may be watched until when, and what happens next: as the doors decide it, and not as the rows were left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from shared_lib.cli.history import Moment
from shared_lib.cli.terminal import Connection, moment
from shared_lib.domain import dunning
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.entitlement import Entitlement, EntitlementStatus
from shared_lib.domain.honored import Renewal, honored
from shared_lib.domain.refund import CUSTOMER_WINDOW_DAYS
from shared_lib.domain.subscription import SubscriptionStatus

_ACCESS: Final = """
    SELECT e.id, e.customer_id, e.product_id, e.order_id, e.subscription_id, e.kind, e.status, e.starts_at, e.ends_at,
           s.status, s.auto_renew, s.past_due_at, s.period_n, o.period_n,
           (SELECT r.id FROM refunds r WHERE r.order_id = e.order_id AND r.access = 'end_now' AND NOT r.surplus
              AND r.status IN ('requested', 'sending', 'pending', 'unknown') LIMIT 1)
    FROM entitlements e JOIN orders o ON o.id = e.order_id LEFT JOIN subscriptions s ON s.id = e.subscription_id
    WHERE e.order_id = ANY(%(orders)s) ORDER BY e.starts_at, e.id
"""
_UPCOMING: Final = """
    SELECT id, status, auto_renew, period_end, past_due_at, next_retry_at FROM subscriptions
    WHERE id = ANY(%(subs)s) AND status IN ('trialing', 'active', 'past_due', 'suspended')
"""
# Of a subscription, the current period alone can be given back.
_REFUNDABLE: Final = """
    SELECT DISTINCT ON (coalesce(subscription_id, id)) id, paid_at FROM orders
    WHERE id = ANY(%(orders)s) AND status = 'paid' AND amount_minor > 0 ORDER BY coalesce(subscription_id, id), paid_at DESC
"""


class Access(NamedTuple):
    """One entitlement now. `until` None: for good. `why`: what a support agent says about it."""

    id: str
    order_id: str
    product_id: str
    watchable: bool
    until: datetime | None
    why: str

    def __str__(self) -> str:
        end = f"until {moment(self.until)}" if self.until else "for good"
        verb = "may be watched" if self.watchable else "may NOT be watched"
        return f"{self.product_id} {verb} {end if self.watchable else ''}".rstrip() + f" ({self.why})"


def access(db: Connection, scope: Mapping[str, Any], now: datetime) -> list[Access]:
    """Each entitlement with the end that is honored (decision 0011)."""
    return [_access(row, now) for row in db.execute(_ACCESS.encode(), scope)]


def _access(row: Sequence[Any], now: datetime) -> Access:
    *own, status, auto_renew, past_due_at, last_period_n, period_n, resting = row
    id_, customer_id, product_id, order_id, subscription_id, kind, state, starts_at, ends_at = own
    stored = Entitlement(
        id=id_, customer_id=customer_id, product_id=product_id, order_id=order_id, subscription_id=subscription_id,
        kind=_known(PriceKind, kind), status=_known(EntitlementStatus, state), starts_at=starts_at, ends_at=ends_at,
    )  # fmt: skip
    renewal = (
        Renewal(status=_known(SubscriptionStatus, status), auto_renew=auto_renew, past_due_at=past_due_at, period_n=last_period_n)
        if status
        else None
    )  # fmt: skip
    real = honored(stored, period_n, renewal)
    watchable = real.watchable_at(now) and not resting
    return Access(
        id_, order_id, product_id, watchable, real.ends_at, _why(stored, real, now, status, resting)
    )


def _known(words: Any, word: str) -> Any:
    """The word itself if this code does not know it: a broken row is what is being looked at."""
    return word if word not in set(words) else words(word)


def _why(
    stored: Entitlement, real: Entitlement, now: datetime, status: str | None, resting: str | None
) -> str:
    if stored.status != EntitlementStatus.ACTIVE:
        return f"access was {stored.status}"
    if resting:
        return f"access rests while {resting} is on its way; it is back should the refund fail"
    if now < stored.starts_at:
        return f"access begins {moment(stored.starts_at)}"
    if real.ends_at is not None and real.ends_at <= now:
        return "access is over"
    if real.ends_at != stored.ends_at and stored.ends_at is not None:
        if status == SubscriptionStatus.PAST_DUE:
            return f"in grace: paid until {moment(stored.ends_at)}, the renewal was declined"
        return f"paid until {moment(stored.ends_at)}, then honored while the renewal is charged"
    return "paid"


def ends(found: Sequence[Access]) -> list[Moment]:
    """The end of each access, as it is honored."""
    return [
        Moment(one.until, "access ends", one.id, f"{one.product_id}, {one.why}") for one in found if one.until
    ]


def upcoming(db: Connection, scope: Mapping[str, Any]) -> list[Moment]:
    """The next renewal, the next retry, when each subscription is given up, and until when customers refund without us."""
    found = [
        Moment(
            paid_at + timedelta(days=CUSTOMER_WINDOW_DAYS),
            "own refund ends",
            id_,
            "until then the customer may ask; after it an operator does: POST /v1/refunds",
        )
        for id_, paid_at in db.execute(_REFUNDABLE.encode(), scope)
    ]
    for id_, status, auto_renew, period_end, past_due_at, retry_at in db.execute(_UPCOMING.encode(), scope):
        if past_due_at:
            gives_up = dunning.gives_up_at(dunning.DEFAULT, past_due_at)
            if retry_at:
                found.append(Moment(retry_at, "next retry", id_, "the same card or account is charged again"))
            found.append(
                Moment(gives_up, "gives up", id_, "the subscription is canceled unless the period is paid")
            )
            if not retry_at:
                found.append(
                    Moment(
                        past_due_at, "no further retry", id_, "only the customer can help, by another card"
                    )
                )
        elif period_end and auto_renew:
            found.append(Moment(period_end, "next renewal", id_, f"is charged; {status} now"))
        elif period_end:
            found.append(Moment(period_end, "subscription ends", id_, "its customer opted out"))
    return found
