"""Time passes: everything that the clock has made due happens before a call reads the state."""

from __future__ import annotations

from infra.sandbox.engine import payments, refunds
from infra.sandbox.engine.core import Moment


def run_due(at: Moment) -> None:
    payments.run_due(at)
    refunds.run_due(at)
