"""Time passes: whatever the clock has made due happens before anybody looks."""

from __future__ import annotations

from infra.sandbox import payments, refunds
from infra.sandbox.core import Moment


def run_due(at: Moment) -> None:
    payments.run_due(at)
    refunds.run_due(at)
