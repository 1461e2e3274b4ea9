"""What orders leave in the database, counted: an answer stands for all of them."""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.stage import Stage

# One snapshot: what one commit writes is counted together.
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM payments), (SELECT count(*) FROM idempotency_keys),
           (SELECT count(*) FROM outbox WHERE topic = 'billing.events'),
           (SELECT count(*) FROM payments WHERE status = 'pending' AND provider_ref IS NOT NULL)
"""


class Books(NamedTuple):
    """Rows. `settled` payments have the provider's reference."""

    orders: int
    payments: int
    keys: int
    facts: int
    settled: int

    def minus(self, before: Books) -> Books:
        return Books(*(now - then for now, then in zip(self, before, strict=True)))

    def of(self, answered: int, cut_off: int, *, settled: bool) -> bool:
        """Each answered order has all its rows; at most `cut_off` more were stored whose caller had hung up."""
        opened = {self.orders, self.payments, self.keys, self.facts}
        if len(opened) != 1 or not 0 <= self.orders - answered <= cut_off:
            return False
        return self.settled >= answered or not settled


def books(stage: Stage) -> Books:
    with stage.db() as db:
        row = db.execute(_COUNTS.encode()).fetchone()
    assert row is not None
    return Books(*row)
