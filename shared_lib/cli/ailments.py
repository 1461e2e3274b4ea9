"""The problems `boxoffice doctor` looks for in the database: a query for each, and what to do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from shared_lib.ids import before_all

OUTBOX_OLDEST_MAX_S: Final = 60

# Payments whose surplus was not returned at once. Also an invariant of the tests.
HELD_SURPLUS: Final = """
    SELECT p.id FROM payments p
    CROSS JOIN LATERAL (SELECT coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS returned,
    coalesce(sum(amount_minor) FILTER (WHERE status NOT IN ('failed', 'rejected')), 0) AS asked_for,
    count(*) FILTER (WHERE status = 'failed') AS failed
    FROM refunds r WHERE r.payment_id = p.id AND r.surplus) r
    CROSS JOIN LATERAL (SELECT CASE WHEN p.surplus THEN p.captured_minor
    ELSE greatest(0, p.captured_minor - p.amount_minor) END AS minor) s
    WHERE p.status = 'succeeded' AND (p.surplus OR p.captured_minor > p.amount_minor)
    AND r.returned < s.minor AND (r.failed > 0 OR r.asked_for < s.minor)
"""

# (name, query that returns the id of each, what they are, what to do about them)
WAITING: Final = (
    (
        "outbox",
        f"SELECT event_id FROM outbox WHERE available_at < boxoffice_now() - interval '{OUTBOX_OLDEST_MAX_S} seconds'",
        f"events older than {OUTBOX_OLDEST_MAX_S} s are not delivered",
        "is the relay running, and do the doors answer? Its log says `dead_letter` or `relay_disconnected`",
    ),
    (
        "unknown payments",
        "SELECT id FROM payments WHERE status = 'unknown' AND created_at < boxoffice_now() - interval '1 hour'",
        "payments are unknown for more than an hour",
        "boxoffice ask pay_...; runbook: unknown payments",
    ),
    (
        "parked webhooks",
        "SELECT source || '/' || event_id FROM inbox WHERE status = 'parked' AND received_at < boxoffice_now() - interval '10 minutes'",
        "webhooks wait for the payment or refund they report",
        "runbook: parked webhooks",
    ),
    (
        "orphaned webhooks",
        "SELECT source || '/' || event_id FROM inbox WHERE status = 'orphaned'",
        "webhooks report payments or refunds we do not know",
        "runbook: orphaned webhooks",
    ),
    (
        "titles paid twice",
        """SELECT customer_id || ' ' || product_id FROM entitlements WHERE kind <> 'subscription' AND status = 'active'
              AND (ends_at IS NULL OR ends_at > boxoffice_now())
           GROUP BY customer_id, product_id, kind HAVING count(*) > 1""",
        "titles were paid twice by the same customer",
        "runbook: titles paid twice",
    ),
    (
        "mails that wait",
        "SELECT id FROM notifications WHERE status = 'failed' AND created_at < boxoffice_now() - interval '1 hour'",
        "mails have not been sent for more than an hour",
        "runbook: mail_channel_stopped",
    ),
    (
        "mails",
        """SELECT id FROM notifications WHERE status IN ('unknown', 'refused')
           OR (status = 'sending' AND locked_until < boxoffice_now() - interval '10 minutes')""",
        "mails were refused, or may or may not have been sent",
        "boxoffice notifications resend ntf_..., or dismiss it; runbook: notifications unknown",
    ),
    (
        "money not as asked",
        """SELECT p.id FROM payments p JOIN orders o ON o.id = p.order_id
           WHERE p.id > %(payments)s AND p.status = 'succeeded' AND (p.captured_minor, p.currency) <> (o.amount_minor, o.currency)
             AND p.created_at > boxoffice_now() - interval '7 days'""",
        "payments of the last 7 days took another amount or currency than their orders",
        "runbook: payment_not_as_asked; it goes back without you",
    ),
    (
        "surplus still held",
        HELD_SURPLUS,
        "payments hold surplus money that was not returned at once",
        "runbook: surplus_held; boxoffice explain pay_..., or POST /v1/refunds with its payment_id",
    ),
    (
        "refunds",
        "SELECT id FROM refunds WHERE id > %(refunds)s AND status = 'failed' AND NOT surplus AND created_at > boxoffice_now() - interval '7 days'",
        "refunds of the last 7 days failed: their customers wait for money",
        "boxoffice explain ref_...; return the money by another way, or try again with POST /v1/refunds",
    ),
)  # fmt: skip


def week_ago() -> dict[str, str]:
    """Ids that are older than any of the last 7 days, for queries that look no further back: ids sort by the real time.

    A test clock runs ahead of it and never back, so what is of these days by that clock was made in them by the real one too.
    """
    week = timedelta(days=8)  # a day more, as clocks disagree
    return {"payments": before_all("pay", of_the_last=week), "refunds": before_all("ref", of_the_last=week)}


NAMED_MAX: Final = 10
# Around each of them: the ids of the oldest, and how many there are.
NAMED: Final = "SELECT id, count(*) OVER () FROM ({query}) AS found (id) ORDER BY id LIMIT {limit}"

# Each one waits for a person, so they are listed, the oldest first.
SET_ASIDE: Final = """
    SELECT kind || ' ' || id || ': ' || reason, count(*) OVER () FROM set_aside ORDER BY set_aside_at, kind, id LIMIT 10
"""

IMBALANCE: Final = """
    WITH taken AS (SELECT currency, sum(captured_minor) AS minor FROM payments GROUP BY 1),
         given AS (SELECT currency, sum(amount_minor) AS minor FROM refunds WHERE status = 'succeeded' GROUP BY 1),
         booked AS (
             SELECT currency,
                    coalesce(sum(amount_minor) FILTER (WHERE leg LIKE 'captured%'), 0) AS taken,
                    coalesce(sum(amount_minor) FILTER (WHERE leg = 'refunded'), 0)
                        - coalesce(sum(amount_minor) FILTER (WHERE leg = 'returned'), 0) AS given
             FROM ledger_entries GROUP BY 1)
    SELECT currency, coalesce(taken.minor, 0)::bigint, coalesce(booked.taken, 0)::bigint,
           coalesce(given.minor, 0)::bigint, coalesce(booked.given, 0)::bigint
    FROM taken FULL JOIN given USING (currency) FULL JOIN booked USING (currency) ORDER BY 1
"""
