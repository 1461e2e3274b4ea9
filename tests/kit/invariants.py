"""What is true at any time, whatever happened: our rows against each other, and against the provider's own books.

I1-I9 and I11 of the design: money once, in the ledger, with the access it paid for; nothing that waits is forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from shared_lib.cli.ailments import HELD_SURPLUS
from tests.kit.cinema import Cinema

_LIVE: Final = "('created', 'sending', 'pending', 'action_required', 'unknown')"
_OWED: Final = "('requested', 'sending', 'pending', 'unknown')"

# What a payment took beyond what its order asked for.
_SURPLUS: Final = """(CASE WHEN p.surplus THEN p.captured_minor
    WHEN p.status = 'succeeded' THEN greatest(0, p.captured_minor - p.amount_minor) ELSE 0 END)"""

# What of it went back, or is on its way.
_COVERED: Final = "coalesce(sum(r.amount_minor) FILTER (WHERE r.status NOT IN ('failed', 'rejected')), 0)"
_TRIES: Final = 6

# Each query finds what must not be.
WRONG: Final = {
    "I2 an order keeps the money of two payments": """
        SELECT order_id FROM payments WHERE status = 'succeeded' AND NOT surplus GROUP BY order_id HAVING count(*) > 1
    """,
    "I3 a period is paid twice": """
        SELECT o.subscription_id, o.period_n FROM orders o JOIN payments p ON p.order_id = o.id
        WHERE o.subscription_id IS NOT NULL AND p.status = 'succeeded' AND NOT p.surplus
        GROUP BY 1, 2 HAVING count(*) > 1
    """,
    "I4 what is reserved is what refunds hold, and all surplus": f"""
        SELECT p.id FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id
        GROUP BY p.id HAVING
            p.refund_reserved_minor <> {_SURPLUS}
                + coalesce(sum(r.amount_minor) FILTER (WHERE r.status NOT IN ('failed', 'rejected') AND NOT r.surplus), 0)
         OR p.refunded_minor <> coalesce(sum(r.amount_minor) FILTER (WHERE r.status = 'succeeded'), 0)
         OR p.refunded_minor > p.captured_minor
    """,
    "I5 a paid order has one entitlement, and a payment that paid it": """
        SELECT o.id FROM orders o LEFT JOIN entitlements e ON e.order_id = o.id
        LEFT JOIN payments p ON p.id = o.paid_payment_id AND p.status = 'succeeded' AND NOT p.surplus
        WHERE (o.status IN ('paid', 'partially_refunded', 'refunded')) <> (e.id IS NOT NULL AND p.id IS NOT NULL)
    """,
    "I5 access without money": """
        SELECT e.id FROM entitlements e JOIN orders o ON o.id = e.order_id JOIN payments p ON p.id = o.paid_payment_id
        WHERE p.captured_minor < o.amount_minor OR (p.amount_minor, p.currency) <> (o.amount_minor, o.currency)
           OR o.amount_minor <> (SELECT coalesce(sum(l.amount_minor), 0) FROM ledger_entries l
                                 WHERE l.order_id = o.id AND l.credit = 'revenue' AND l.currency = o.currency)
    """,
    "I5 paid access ends with nothing returned for it": """
        SELECT e.id FROM entitlements e WHERE e.status = 'revoked' AND NOT EXISTS
            (SELECT FROM refunds r WHERE r.order_id = e.order_id AND r.access <> 'keep' AND r.status = 'succeeded')
    """,
    "I6 returned and still watched, although no operator said keep": """
        SELECT e.id FROM entitlements e JOIN orders o ON o.id = e.order_id
        WHERE o.status = 'refunded' AND e.status = 'active' AND NOT EXISTS
            (SELECT FROM refunds r WHERE r.order_id = o.id AND r.access = 'keep')
    """,
    "I7 a payment and the ledger disagree": f"""
        SELECT p.id FROM payments p LEFT JOIN ledger_entries l
            ON l.source_id = p.id AND l.source_kind = 'payment' AND l.leg LIKE 'captured%' AND l.currency = p.currency
        GROUP BY p.id HAVING
            coalesce(sum(l.amount_minor), 0) <> CASE WHEN p.status = 'succeeded' THEN p.captured_minor ELSE 0 END
         OR coalesce(sum(l.amount_minor) FILTER (WHERE l.credit = 'surplus'), 0) <> {_SURPLUS}
    """,
    "captured money on a payment that has not succeeded": """
        SELECT id FROM payments WHERE captured_minor > 0 AND status <> 'succeeded'
    """,
    "I7 a refund and the ledger disagree": """
        SELECT r.id FROM refunds r LEFT JOIN ledger_entries l ON l.source_id = r.id AND l.source_kind = 'refund'
        GROUP BY r.id HAVING coalesce(sum(CASE l.leg WHEN 'refunded' THEN l.amount_minor ELSE -l.amount_minor END), 0)
            <> CASE WHEN r.status = 'succeeded' THEN r.amount_minor ELSE 0 END
    """,
    "surplus is neither returned, nor on its way back, nor given up and shown by doctor": f"""
        SELECT p.id FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id AND r.surplus
        GROUP BY p.id HAVING {_COVERED} > {_SURPLUS} OR ({_COVERED} < {_SURPLUS} AND (
            count(*) FILTER (WHERE r.status = 'failed' AND r.failure_reason <> 'superseded') < {_TRIES}
            OR p.id NOT IN ({HELD_SURPLUS})))
    """,
    "I8 a customer is mailed twice": """
        SELECT event_id FROM notifications GROUP BY event_id, customer_id HAVING count(*) > 1
        UNION ALL SELECT event_id FROM outbox GROUP BY event_id HAVING count(*) > 1
    """,
    "I9 an amount that is not the catalog's": """
        SELECT o.id FROM orders o JOIN prices c ON c.id = o.price_id JOIN payments p ON p.order_id = o.id
        WHERE (NOT p.surplus AND (p.amount_minor, p.currency) <> (o.amount_minor, o.currency)) OR o.currency <> c.currency
           OR (o.amount_minor <> c.amount_minor
               AND NOT (o.amount_minor = 0 AND c.trial_days > 0 AND o.billing_reason = 'subscription_create'))
    """,
    "I11 a decided payment or refund holds a lease or waits": f"""
        SELECT id FROM payments WHERE status NOT IN {_LIVE} AND (next_check_at IS NOT NULL OR lease_until IS NOT NULL)
        UNION ALL SELECT id FROM refunds
        WHERE status NOT IN {_OWED} AND (next_check_at IS NOT NULL OR lease_until IS NOT NULL)
    """,
    "no process comes back to what is not decided": f"""
        SELECT id FROM payments WHERE status IN {_LIVE} AND next_check_at IS NULL
        UNION ALL SELECT id FROM refunds WHERE status IN {_OWED} AND next_check_at IS NULL
    """,
    "a title is held twice": """
        SELECT o.customer_id, o.product_id, o.kind FROM orders o
        LEFT JOIN entitlements e ON e.order_id = o.id LEFT JOIN subscriptions s ON s.id = o.subscription_id
        WHERE o.billing_reason IN ('purchase', 'rental', 'subscription_create')
          AND (o.status = 'pending'
               OR (o.kind <> 'subscription' AND e.status = 'active'
                   AND (e.ends_at IS NULL OR e.ends_at > boxoffice_now()))
               OR s.status IN ('trialing', 'active', 'past_due', 'suspended', 'paused'))
          AND NOT EXISTS  -- a refund that bounced gives access back beside what was bought since
            (SELECT FROM refunds r WHERE r.order_id = o.id AND r.status = 'failed' AND NOT r.surplus)
        GROUP BY 1, 2, 3 HAVING count(*) > 1
    """,
    "an order waits for money and does not hold its place": """
        SELECT id FROM orders
        WHERE status = 'pending' AND NOT holds AND billing_reason IN ('purchase', 'rental', 'subscription_create')
    """,
    "an order that ended unpaid holds a place": """
        SELECT id FROM orders WHERE status IN ('canceled', 'expired') AND holds
    """,
    "an order waits for nothing": f"""
        SELECT o.id FROM orders o WHERE o.status = 'pending'
          AND NOT EXISTS (SELECT FROM payments p WHERE p.order_id = o.id AND p.status IN {_LIVE} AND NOT p.surplus)
          AND NOT EXISTS (SELECT FROM subscriptions s WHERE s.open_order_id = o.id AND s.next_action_at IS NOT NULL)
    """,
    "a subscription waits for nothing": f"""
        SELECT s.id FROM subscriptions s WHERE s.status IN ('trialing', 'active', 'past_due', 'suspended')
          AND s.next_action_at IS NULL AND NOT EXISTS
            (SELECT FROM payments p WHERE p.order_id = s.open_order_id AND p.status IN {_LIVE} AND NOT p.surplus)
    """,
    "a subscription that is over, or never began, collects": """
        SELECT s.id FROM subscriptions s
        WHERE s.status IN ('incomplete', 'incomplete_expired', 'canceled')
          AND (s.open_order_id IS NOT NULL OR s.next_action_at IS NOT NULL)
    """,
    "an open order that is not open": """
        SELECT s.id FROM subscriptions s JOIN orders o ON o.id = s.open_order_id WHERE o.status <> 'pending'
    """,
}


def wrong(cinema: Cinema) -> dict[str, list[tuple[Any, ...]]]:
    """What our own rows contradict, by the invariant's name."""
    with cinema.db() as db:
        found = {name: db.execute(query).fetchall() for name, query in WRONG.items()}
    return {name: rows for name, rows in found.items() if rows}


async def listed(cinema: Cinema, what: str) -> list[dict[str, Any]]:
    """Everything the provider has of `payments` or `refunds`."""
    headers = {"authorization": f"Bearer {cinema.sandbox.api_key}"}
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        url = f"{cinema.sandbox.url}/v1/{what}"
        answer = (await cinema.http.get(url, params={"limit": "100", **cursor}, headers=headers)).json()
        found += answer["data"]
        if not answer["next_cursor"]:
            return found
        cursor = {"cursor": answer["next_cursor"]}


async def assert_invariants(cinema: Cinema) -> None:
    """Our rows agree with each other, and with the provider but for what we know to be undecided."""
    found = wrong(cinema)
    assert not found, found
    await _payments_agree(cinema)
    await _refunds_agree(cinema)


async def _payments_agree(cinema: Cinema) -> None:
    """I1, I2: each payment of theirs is one of ours; all they took we know of, or are still asking about.

    A second payment of theirs under one id of ours is a row of its own once it has money.
    """
    rows = cinema.rows("SELECT id, provider_ref, captured_minor, status FROM payments")
    by_ref = {row[1]: row[2:] for row in rows if row[1]}
    asked_about = {row[0]: row[2:] for row in rows if not row[1]}
    for one in await listed(cinema, "payments"):
        known = by_ref.get(one["id"]) or asked_about.get(one["metadata"]["payment_id"])
        captured, status = known or (0, "another one of ours")
        undecided = status in ("created", "sending", "pending", "action_required", "unknown")
        assert one["captured_minor"] == captured or (undecided and captured == 0), one


async def _refunds_agree(cinema: Cinema) -> None:
    """I4: one refund of theirs per refund of ours, never more than was taken, and nothing returned unknown to us."""
    ours = {row[0]: row[1:] for row in cinema.rows("SELECT id, provider_ref, status FROM refunds")}
    by_ref = {ref: status for ref, status in ours.values() if ref}
    theirs = await listed(cinema, "refunds")
    unknown = [one["metadata"].get("refund_id") for one in theirs if one["id"] not in by_ref]
    assert len(unknown) == len(set(unknown)), "the provider has two refunds for one of ours"
    for one in theirs:
        status = by_ref.get(one["id"]) or ours[one["metadata"]["refund_id"]][1]
        assert one["status"] == status or status in ("requested", "sending", "pending", "unknown"), one
    for paid in await listed(cinema, "payments"):
        returned = sum(
            one["amount_minor"]
            for one in theirs
            if one["payment"] == paid["id"] and one["status"] != "failed"
        )
        assert returned <= paid["captured_minor"], paid


@pytest.fixture
async def balanced_books(cinema: Cinema) -> AsyncIterator[None]:
    """However the test ends, the books balance and no payment, refund or event waits without a next look."""
    yield
    await assert_invariants(cinema)
    await cinema.assert_balanced()
