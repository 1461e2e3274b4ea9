"""A lease that ends under a living owner would let a second one in: each outlives the longest call made under it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared_lib.asking.payments import ASK_S, ask_payment, ask_refund
from shared_lib.channels.email_ses import CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from shared_lib.domain import schedule
from shared_lib.phases import notifications
from shared_lib.providers.transport import TIMEOUT

# Between the claim and the call, and between the answer and the commit, stands our own work.
OUR_OWN_WORK = timedelta(seconds=10)


def test_a_call_to_a_provider_may_take_its_time() -> None:
    limits = TIMEOUT.as_dict().values()
    assert sum(limit for limit in limits if limit is not None) <= ASK_S
    assert None not in limits


@pytest.mark.parametrize("ask", [ask_payment, ask_refund])
def test_a_payment_is_leased_for_longer_than_anybody_asks(ask: Callable[..., object]) -> None:
    assert inspect.signature(ask).parameters["timeout_s"].default == ASK_S
    assert timedelta(seconds=ASK_S) + OUR_OWN_WORK <= schedule.LEASE


def test_a_notification_is_leased_for_longer_than_the_mail_service_may_take() -> None:
    assert timedelta(seconds=CONNECT_TIMEOUT_S + READ_TIMEOUT_S) + OUR_OWN_WORK <= notifications.LEASE
