"""YooKassa's official SDK, unmodified, drives the simulated bank: what it understands is what we meant."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from infra.sandbox.faces.yookassa.ids import SHOP_ID
from infra.sandbox.launch import SandboxHandle
from tests.providers.inbox import Inbox
from tests.providers.sdk.installed import drive
from tests.providers.simulator import paid, refund_of
from tests.providers.yookassa_simulator import YooKassaSimulator


@pytest.fixture
async def yookassa(sandbox: SandboxHandle, inbox: Inbox) -> AsyncIterator[YooKassaSimulator]:
    simulator = YooKassaSimulator(sandbox, inbox, ())
    yield simulator
    await simulator.aclose()


async def test_it_creates_reads_captures_cancels_lists_and_refunds(
    yookassa: YooKassaSimulator, sandbox: SandboxHandle
) -> None:
    await yookassa.advance(timedelta(hours=25))  # its keys are constants: those of an earlier run have ended
    printed = await drive(f"{sandbox.url}/v3", SHOP_ID, SECRET_KEY=yookassa.secret_key)
    said: dict[str, Any] = json.loads(printed)
    saved = said["saved"]
    assert saved["same"], "one key, one payment"
    assert saved["first"] == ["succeeded", True, True, "4242"]
    assert saved["method_is_first_payment"]
    assert saved["renewal"] == ["succeeded", True, "ord_sdk"]
    assert saved["receipts"] == [["payment", "succeeded"]]
    assert said["stages"] == {
        "waiting": ["waiting_for_capture", True, True],
        "captured": ["succeeded", "99.50"],
        "released": ["canceled", "canceled_by_merchant"],
    }
    back = said["given_back"]
    assert back["refund"] == ["succeeded", "100.00", True]
    assert (back["left"], back["listed"]) == ("100.00", [True])
    assert _refusal(back["too_much"]) == ("BadRequestError", "invalid_request", "amount")
    assert _refusal(back["reused"]) == ("BadRequestError", "invalid_request", "Idempotence-Key")
    assert _refusal(said["unknown"]) == ("NotFoundError", "not_found", None)
    assert _refusal(said["stranger"]) == ("UnauthorizedError", "invalid_credentials", None)
    assert said["list"]["once"]
    assert said["list"]["payments"] >= 4
    assert said["list"]["pages"] >= 2


async def test_it_reads_our_notifications(yookassa: YooKassaSimulator) -> None:
    payment = await paid(yookassa)
    await yookassa.provider.refund(refund_of(payment))
    theirs = payment.ref.provider_payment_id
    arrived = await yookassa.inbox.wait(theirs, ("payment.succeeded", "refund.succeeded"), count=2)
    printed = await drive("-", SHOP_ID, given=json.dumps([it.body.decode() for it in arrived]))
    assert sorted(json.loads(printed)) == [
        ["payment.succeeded", "succeeded", "12.99"],
        ["refund.succeeded", "succeeded", "12.99"],
    ]


def _refusal(said: dict[str, Any]) -> tuple[str, str, str | None]:
    return said["class"], said["code"], said.get("parameter")
