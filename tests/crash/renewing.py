"""A subscription whose month is over, and what its renewal must come to."""

from __future__ import annotations

from typing import Any, Final

from tests.kit.cinema import Cinema
from tests.kit.recovery import assert_charged_once, come_to_rest, single

TICK, JOB = "billing.tick.renewal", "billing.job.charge_renewals"
NONE_OPENED: Final[dict[str, Any]] = {"payment_ids": []}
"""Data of the job."""
CYCLE = "SELECT id FROM orders WHERE billing_reason = 'subscription_cycle'"
CYCLE_PAYMENTS = "SELECT p.status FROM payments p JOIN orders o ON o.id = p.order_id WHERE o.period_n = 2"


async def due(cinema: Cinema, number: str = "4242424242424242") -> Any:
    """A subscription whose first month is over. Its webhooks get lost: what is known is known by asking."""
    await cinema.bought("prc_basic_month", number=number)
    await come_to_rest(cinema)
    await cinema.control("/control/webhooks", {"mode": "drop", "times": None})
    ((subscription, left),) = cinema.rows("SELECT id, period_end - boxoffice_now() FROM subscriptions")
    await cinema.advance(left)
    return subscription


async def opt_out(cinema: Cinema, subscription: str) -> dict[str, Any]:
    answer = await cinema.call("PATCH", f"/v1/subscriptions/{subscription}", {"auto_renew": False})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def assert_renewed_once(cinema: Cinema) -> None:
    assert cinema.rows("SELECT status, period_n FROM subscriptions") == [("active", 2)]
    await assert_charged_once(cinema, single(cinema, CYCLE))
