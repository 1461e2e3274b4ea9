"""The demo's last table: the provider's books, our ledger and the access granted, order by order, to the cent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from infra.demo.timeline import cents
from infra.demo.town import EVENTS_LEFT, Json, Town
from infra.local.console import Console

# Every order in this database, with its money as each of our tables records it.
OURS: Final = """
SELECT o.id, o.customer_id, o.product_title, o.billing_reason, o.kind, o.status, o.currency, o.amount_minor,
       coalesce(l.taken, 0)::bigint AS ledger_in, coalesce(l.returned, 0)::bigint AS ledger_out,
       coalesce(l.surplus, 0)::bigint AS surplus,
       coalesce(p.captured, 0)::bigint AS captured, coalesce(p.refunded, 0)::bigint AS refunded,
       e.status AS access, coalesce(r.ended, false) AS ended
FROM orders o
LEFT JOIN LATERAL (
    SELECT sum(amount_minor) FILTER (WHERE starts_with(leg, 'captured')) AS taken,
           sum(CASE leg WHEN 'refunded' THEN amount_minor WHEN 'returned' THEN -amount_minor ELSE 0 END) AS returned,
           sum(amount_minor) FILTER (WHERE credit = 'surplus' AND source_kind = 'payment') AS surplus
    FROM ledger_entries WHERE order_id = o.id) l ON true
LEFT JOIN LATERAL (
    SELECT sum(captured_minor) AS captured, sum(refunded_minor) AS refunded
    FROM payments WHERE order_id = o.id) p ON true
LEFT JOIN LATERAL (
    SELECT bool_or(access = 'end_now') AS ended
    FROM refunds WHERE order_id = o.id AND status = 'succeeded' AND NOT surplus) r ON true
LEFT JOIN entitlements e ON e.order_id = o.id
ORDER BY o.id
"""

OPEN: Final = f"""
SELECT 'payments not terminal' AS what, count(*) AS count FROM payments
 WHERE status IN ('created', 'sending', 'pending', 'action_required', 'unknown')
UNION ALL SELECT 'orders not terminal', count(*) FROM orders WHERE status = 'pending'
UNION ALL SELECT 'refunds not terminal', count(*) FROM refunds
 WHERE status IN ('requested', 'sending', 'pending', 'unknown')
UNION ALL SELECT 'renewals overdue', count(*) FROM subscriptions WHERE next_action_at <= boxoffice_now()
UNION ALL SELECT 'events not delivered', ({EVENTS_LEFT})
UNION ALL SELECT 'dead letters', count(*) FROM dead_letters WHERE replayed_at IS NULL AND dismissed_at IS NULL
UNION ALL SELECT 'webhooks not understood', count(*) FROM inbox WHERE status <> 'done'
"""

_PAID: Final = frozenset({"paid", "partially_refunded", "refunded"})
_WIDTHS: Final = (34, 6, 12, 12, 12, 12, 17)
_WIDTH: Final = sum(_WIDTHS) + len(_WIDTHS)
_TITLES: Final = ("", "orders", "provider in", "ledger in", "provider out", "ledger out", "access")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One order as three parties see it; amounts in minor units."""

    order: Json
    provider_in: int
    provider_out: int

    @property
    def faults(self) -> list[str]:
        """The disagreements, as text."""
        o = self.order
        owed = o["amount_minor"] if o["status"] in _PAID else 0
        checks = {
            "provider's captures are not our ledger's": self.provider_in == o["ledger_in"],
            "provider's refunds are not our ledger's": self.provider_out == o["ledger_out"],
            "our payments are not our ledger": (o["captured"], o["refunded"])
            == (o["ledger_in"], o["ledger_out"]),
            "not charged exactly once": o["ledger_in"] - o["surplus"] == owed,
            "access does not follow the money": o["access"] == self._due_access(),
        }
        return [f"{o['id']} ({o['status']}): {text}" for text, holds in checks.items() if not holds]

    def _due_access(self) -> str | None:
        if self.order["status"] not in _PAID:
            return None
        return "revoked" if self.order["ended"] else "active"


async def reckon(town: Town, console: Console, run: str) -> bool:
    """Print the table; True when everything agrees and nothing is open, over all runs in this database."""
    books = await town.books()
    lines = [line_of(order, books["orders"]) for order in await town.rows(OURS)]
    faults = [fault for line in lines for fault in line.faults]
    known = {line.order["id"] for line in lines}
    faults += [f"{id_}: only the provider has it" for id_ in books["orders"] if id_ not in known]
    faults += [f"{row['what']}: {row['count']}" for row in await town.rows(OPEN) if row["count"]]
    faults += _totals_disagree(lines, books["currencies"])
    _print_table(console, lines, run)
    for fault in faults[:20]:
        console.warn(f"  ✗ {fault}")
    paid = sum(line.order["status"] in _PAID for line in lines)
    if not faults:
        console.say(
            console.paint("\n  Provider's books = our ledger = access given, to the cent: ", 32)
            + f"{len(lines)} orders, {paid} paid, nothing open."
        )
    return not faults


def line_of(order: Json, theirs: dict[str, Any]) -> Line:
    book = theirs.get(order["id"], {})
    return Line(
        order=order, provider_in=book.get("captured_minor", 0), provider_out=book.get("refunded_minor", 0)
    )


def _totals_disagree(lines: Sequence[Line], currencies: dict[str, Any]) -> list[str]:
    """Compare the totals that the provider itself computed with those of our ledger."""
    theirs = (
        sum(book["captured_minor"] for book in currencies.values()),
        sum(book["refunded_minor"] for book in currencies.values()),
    )
    ours = sum(line.order["ledger_in"] for line in lines), sum(line.order["ledger_out"] for line in lines)
    return [] if theirs == ours else [f"totals: the provider says {theirs}, our ledger {ours}"]


def _print_table(console: Console, lines: Sequence[Line], run: str) -> None:
    mine = [line for line in lines if line.order["customer_id"].endswith(f"-{run}")]
    mine.sort(key=lambda line: (line.order["customer_id"], line.order["product_title"], line.order["id"]))
    row = _row if console.columns >= _WIDTH else _row_of_two_lines
    console.say("\n" + console.bold(row(*_TITLES)))
    for label, group in groupby(mine, key=_label):
        console.say(row(*_sums(label, list(group))))
    console.say("-" * min(_WIDTH, console.columns - 1))
    console.say(row(*_sums("this run", mine)))
    console.say(console.bold(row(*_sums("everything in the database", lines))))


def _label(line: Line) -> str:
    o = line.order
    what = {"subscription_create": "begins", "subscription_cycle": "renewed"}.get(
        o["billing_reason"], o["kind"]
    )
    return f"{o['customer_id'].split('-')[0].capitalize()}: {o['product_title']}, {what}"


def _sums(label: str, lines: Sequence[Line]) -> tuple[str, ...]:
    orders = [line.order for line in lines]
    active, revoked = (sum(o["access"] == how for o in orders) for how in ("active", "revoked"))
    access = f"{active} given" + (f", {revoked} taken" if revoked else "")
    return (
        label,
        str(len(lines)),
        cents(sum(line.provider_in for line in lines)),
        cents(sum(o["ledger_in"] for o in orders)),
        cents(sum(line.provider_out for line in lines)),
        cents(sum(o["ledger_out"] for o in orders)),
        access,
    )


def _row(first: str, *others: str) -> str:
    return f"{first:<{_WIDTHS[0]}} {_amounts(others)}"


def _row_of_two_lines(first: str, *others: str) -> str:
    """For a terminal that is too narrow for one."""
    return f"{first}\n{_amounts(others)}" if first else _amounts(others)


def _amounts(cells: Sequence[str]) -> str:
    return " ".join(text.rjust(width) for text, width in zip(cells, _WIDTHS[1:], strict=True))
