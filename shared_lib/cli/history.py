"""What happened around orders, and what is still to come, as moments: the queries of `boxoffice explain`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from shared_lib.cli.terminal import Connection, money

# Each query returns moments: (at, what, id, says). %(orders)s, %(subs)s and %(payments)s are ids.
_MOMENTS: Final = {
    "subscription": """
        SELECT created_at, 'subscription begins', id,
               status || ', period ' || period_n || coalesce(' until ' || to_char(period_end, 'YYYY-MM-DD HH24:MI'), '')
               || CASE WHEN auto_renew THEN ', renews' ELSE ', opted out' END
        FROM subscriptions WHERE id = ANY(%(subs)s)
        UNION ALL
        SELECT auto_renew_changed_at, CASE WHEN auto_renew THEN 'opted in again' ELSE 'opted out' END, id,
               'by customer ' || customer_id
        FROM subscriptions WHERE id = ANY(%(subs)s) AND auto_renew_changed_at IS NOT NULL
        UNION ALL
        SELECT past_due_at, 'a renewal was declined', id, 'past due since' FROM subscriptions
        WHERE id = ANY(%(subs)s) AND past_due_at IS NOT NULL
    """,
    "order": """
        SELECT created_at, 'ordered', id, billing_reason || ', now ' || status || coalesce(': ' || cancel_reason, '')
        FROM orders WHERE id = ANY(%(orders)s)
        UNION ALL
        SELECT paid_at, 'paid', id, 'by ' || paid_payment_id FROM orders
        WHERE id = ANY(%(orders)s) AND paid_at IS NOT NULL
        UNION ALL
        SELECT expires_at, 'order expires', id, 'unless it is paid' FROM orders
        WHERE id = ANY(%(orders)s) AND status = 'pending'
    """,
    "payment": """
        SELECT created_at, 'payment ' || attempt || ' by ' || provider, id,
               flow || ', now ' || status || coalesce(': ' || decline_kind || ' ' || coalesce(decline_reason, ''), '')
               || CASE WHEN status IN ('sending', 'unknown') THEN ': the provider did not answer, it may have taken the money'
                       ELSE '' END
               || CASE WHEN surplus THEN ', surplus' ELSE '' END || coalesce(', theirs ' || provider_ref, '')
        FROM payments WHERE order_id = ANY(%(orders)s)
        UNION ALL
        SELECT first_sent_at, 'sent to ' || provider, id, 'for the first time' FROM payments
        WHERE order_id = ANY(%(orders)s) AND first_sent_at IS NOT NULL
        UNION ALL
        SELECT last_failure_at, 'provider error', id, last_failure FROM payments
        WHERE order_id = ANY(%(orders)s) AND last_failure_at IS NOT NULL
        UNION ALL
        SELECT next_check_at, 'provider will be asked', id, 'times asked by schedule: ' || checks FROM payments
        WHERE order_id = ANY(%(orders)s) AND next_check_at IS NOT NULL
    """,
    "refund": """
        SELECT created_at, 'refund requested', id,
               'by ' || requested_by || ' ("' || reason || '"), access ' || access || ', now ' || status
               || coalesce(': ' || failure_reason, '') || coalesce(', theirs ' || provider_ref, '')
        FROM refunds WHERE order_id = ANY(%(orders)s)
        UNION ALL
        SELECT decided_at, 'refund ' || CASE WHEN status = 'rejected' THEN 'rejected' ELSE 'approved' END, id,
               'by ' || decided_by
        FROM refunds WHERE order_id = ANY(%(orders)s) AND decided_at IS NOT NULL
        UNION ALL
        SELECT last_failure_at, 'provider error', id, last_failure FROM refunds
        WHERE order_id = ANY(%(orders)s) AND last_failure_at IS NOT NULL
        UNION ALL
        SELECT next_check_at, 'provider will be asked', id, 'times asked by schedule: ' || checks FROM refunds
        WHERE order_id = ANY(%(orders)s) AND next_check_at IS NOT NULL
    """,
    "access": """
        SELECT starts_at, 'access begins', id, product_id || ', ' || status FROM entitlements
        WHERE order_id = ANY(%(orders)s)
        UNION ALL
        SELECT first_played_at, 'first play', id, product_id FROM entitlements
        WHERE order_id = ANY(%(orders)s) AND first_played_at IS NOT NULL
    """,
    "outbox": """
        SELECT available_at, 'waits for delivery', event_id, type || ', ' || attempts || ' attempts' FROM outbox
        WHERE subject = ANY(%(subjects)s)
        UNION ALL
        SELECT dead_at, CASE WHEN dismissed_at IS NULL THEN 'DEAD LETTER' ELSE 'dismissed dead letter' END, id,
               type || ': ' || reason
        FROM dead_letters WHERE headers->>'subject' = ANY(%(subjects)s) AND replayed_at IS NULL
    """,
    "webhook": """
        SELECT received_at, 'webhook ' || status, event_id,
               source || CASE WHEN attempts > 0 THEN ', times tried again: ' || attempts ELSE '' END FROM inbox
        WHERE about = ANY(%(payments)s)
        UNION
        SELECT received_at, 'webhook ' || status, event_id,
               source || CASE WHEN attempts > 0 THEN ', times tried again: ' || attempts ELSE '' END FROM inbox
        WHERE status = 'parked' AND payload->'payment'->>'payment_id' = ANY(%(payments)s)
        UNION
        SELECT received_at, 'webhook ' || status, event_id,
               source || CASE WHEN attempts > 0 THEN ', times tried again: ' || attempts ELSE '' END FROM inbox
        WHERE status = 'orphaned' AND payload->'payment'->>'payment_id' = ANY(%(payments)s)
    """,
    "set aside": """
        SELECT set_aside_at, 'SET ASIDE', id, reason || ', ' || attempts || ' times' FROM set_aside
        WHERE id = ANY(%(subjects)s)
           OR id IN (SELECT source || '/' || event_id FROM inbox
                     WHERE status = 'parked' AND payload->'payment'->>'payment_id' = ANY(%(payments)s))
        UNION ALL
        SELECT next_try_at, 'is tried again', id, kind FROM set_aside WHERE id = ANY(%(subjects)s)
    """,
    "mail": """
        SELECT coalesce(sent_at, created_at), 'mail ' || status, id, event_type || coalesce(': ' || detail, '')
        FROM notifications
        WHERE customer_id = ANY(%(customers)s) AND created_at >= %(since)s
          AND (data->>'order_id' = ANY(%(orders)s) OR (NOT data ? 'order_id' AND data->>'subscription_id' = ANY(%(subs)s)))
    """,
    "repair": """
        SELECT made_at, 'repair: ' || verb, target, 'by ' || made_by || coalesce(': ' || because, '') FROM repairs
        WHERE target = ANY(%(subjects)s)
        UNION ALL
        SELECT r.made_at, 'repair: ' || r.verb, r.target, 'by ' || r.made_by || coalesce(': ' || r.because, '')
        FROM notifications n JOIN repairs r ON r.target = n.id
        WHERE n.customer_id = ANY(%(customers)s) AND n.created_at >= %(since)s
          AND (n.data->>'order_id' = ANY(%(orders)s)
               OR (NOT n.data ? 'order_id' AND n.data->>'subscription_id' = ANY(%(subs)s)))
    """,
}

_LEDGER: Final = """
    SELECT entered_at, leg, source_id, debit, credit, amount_minor, currency FROM ledger_entries
    WHERE order_id = ANY(%(orders)s)
"""


class Moment(NamedTuple):
    at: datetime
    what: str
    id: str
    says: str


def moments(db: Connection, scope: Mapping[str, Any]) -> list[Moment]:
    """What the rows tell, in no order."""
    found = [Moment(*row) for sql in _MOMENTS.values() for row in db.execute(sql.encode(), scope)]
    for at, leg, source_id, debit, credit, minor, currency in db.execute(_LEDGER.encode(), scope):
        found.append(
            Moment(at, f"ledger: {leg}", source_id, f"{money(minor, currency)}: {debit} <- {credit}")
        )
    return found
