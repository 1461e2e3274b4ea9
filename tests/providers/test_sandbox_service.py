"""The simulator itself: its books, its keys, its webhooks, and what survives the death of its process."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from infra.sandbox.app import build
from infra.sandbox.engine.core import Config
from infra.sandbox.engine.refusals import Reason, Refused
from infra.sandbox.faces.native.errors import refusal_answer
from infra.sandbox.launch import SandboxHandle, running_sandbox
from shared_lib.ids import new_id
from shared_lib.providers.base import Money, OutcomeUnknown, PaymentState
from tests.kit.waiting import PATIENCE_S
from tests.providers.conftest import SECRET
from tests.providers.inbox import Inbox, running_inbox
from tests.providers.simulator import (
    SandboxSimulator,
    charge_of,
    checkout_of,
    paid,
    raw,
    refund_of,
    saved_method,
)


def api(sandbox: SandboxHandle) -> httpx.Client:
    headers = {"authorization": f"Bearer {sandbox.api_key}"}
    return httpx.Client(base_url=sandbox.url, headers=headers, trust_env=False, timeout=PATIENCE_S)


def body_of(**changed: Any) -> dict[str, Any]:
    standard = {
        "amount_minor": 1299,
        "currency": "EUR",
        "description": "Blade Runner",
        "return_url": "https://cinema.example/",
        "cancel_url": "https://cinema.example/",
    }
    return standard | changed


async def books(simulator: SandboxSimulator, order_id: str | None) -> dict[str, Any]:
    answer = await simulator.http.get(
        "/v1/books", headers={"authorization": f"Bearer {simulator.secrets[0]}"}
    )
    said: dict[str, Any] = answer.json()
    assert sum(account["balance_minor"] for account in said["accounts"]) == 0
    order: dict[str, Any] = said["orders"].get(order_id, {})
    return order


# ---- books -------------------------------------------------------------------------------------------------


async def test_the_books_follow_captures_and_refunds(sandbox_simulator: SandboxSimulator) -> None:
    payment = await paid(sandbox_simulator)
    refund = await sandbox_simulator.provider.refund(refund_of(payment, Money(300, "EUR")))
    assert await books(sandbox_simulator, payment.order_id) == {
        "currency": "EUR",
        "payments": 1,
        "captured_minor": 1299,
        "refunded_minor": 300,
        "net_minor": 999,
    }
    await sandbox_simulator.fail_refund(refund.provider_refund_id)
    assert (await books(sandbox_simulator, payment.order_id))["net_minor"] == 1299


async def test_the_books_agree_with_the_payments_after_a_random_afternoon(
    sandbox_simulator: SandboxSimulator,
) -> None:
    chance = random.Random(7)
    method = await saved_method(sandbox_simulator, "later_funds_once")
    payments = [await sandbox_simulator.provider.charge(charge_of(method)) for _ in range(12)]
    for payment in chance.choices([it for it in payments if it.captured], k=25):
        left = payment.captured - (await sandbox_simulator.provider.fetch_payment(payment.ref)).refunded
        if left:
            part = Money(chance.randint(1, left.minor), "EUR")
            refund = await sandbox_simulator.provider.refund(refund_of(payment, part))
            if chance.random() < 0.3:
                await sandbox_simulator.fail_refund(refund.provider_refund_id)
    for payment in payments:
        now = await sandbox_simulator.provider.fetch_payment(payment.ref)
        order = await books(sandbox_simulator, payment.order_id)
        assert (order.get("captured_minor", 0), order.get("refunded_minor", 0)) == (
            now.captured.minor,
            now.refunded.minor,
        )


def test_entries_can_be_neither_changed_nor_removed(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as sandbox, api(sandbox) as http:
        opened = http.post("/v1/checkouts", json=body_of(), headers={"idempotency-key": "k"}).json()
        http.post(
            opened["checkout_url"], data={"number": "4242424242424242", "expires": "12/34", "cvc": "123"}
        )
        with closing(sqlite3.connect(tmp_path / "sandbox.sqlite3")) as database:
            assert database.execute("SELECT count(*) FROM entries").fetchone() == (1,)
            for change in ("UPDATE entries SET amount_minor = 1", "DELETE FROM entries"):
                with pytest.raises(sqlite3.IntegrityError, match="entries stay"):
                    database.execute(change)
            dump = "\n".join(database.iterdump())
        assert "4242424242424242" not in dump, "a card number is never kept"


# ---- keys --------------------------------------------------------------------------------------------------


async def test_the_client_and_the_provider_agree_about_currencies(
    sandbox_simulator: SandboxSimulator,
) -> None:
    headers = {"authorization": f"Bearer {sandbox_simulator.secrets[0]}"}
    account = (await sandbox_simulator.http.get("/v1/account", headers=headers)).json()
    assert account["minimum_minor"] == sandbox_simulator.provider.capabilities.minimum_minor


def test_a_key_is_required_compared_by_value_and_bound_to_its_path(sandbox: SandboxHandle) -> None:
    key = {"idempotency-key": new_id("pay")}
    with api(sandbox) as http:
        assert (
            http.post("/v1/checkouts", json=body_of()).json()["error"]["code"] == "idempotency_key_required"
        )
        first = http.post("/v1/checkouts", json=body_of(), headers=key)
        turned = http.post("/v1/checkouts", json=dict(reversed(body_of().items())), headers=key)
        assert (turned.content, turned.headers["idempotent-replayed"]) == (first.content, "true")
        other = http.post("/v1/refunds", json={"payment": first.json()["id"]}, headers=key)
        assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")


def test_a_body_that_cannot_be_read_does_not_use_up_its_key(sandbox: SandboxHandle) -> None:
    key = {"idempotency-key": new_id("pay")}
    with api(sandbox) as http:
        for wrong in (
            {"amount_minor": 12.5},
            {"currency": "XXX"},
            {"surprise": 1},
            {"return_url": "javascript:1"},
        ):
            assert http.post("/v1/checkouts", json=body_of(**wrong), headers=key).status_code == 400
        assert http.post("/v1/checkouts", json=body_of(), headers=key).status_code == 201


# ---- webhooks ----------------------------------------------------------------------------------------------


async def test_webhooks_are_verified_by_the_scheme_s_own_package(tmp_path: Path) -> None:
    """In a sandbox whose clock was not moved: the package compares with the real one."""
    with running_inbox() as inbox, running_sandbox(tmp_path, inbox.url, SECRET) as own, api(own) as http:
        body = body_of(metadata={"payment_id": "pay_1"})
        opened = http.post("/v1/checkouts", json=body, headers={"idempotency-key": "k"}).json()
        http.post(f"/v1/checkouts/{opened['id']}/expire", json={}, headers={"idempotency-key": "e"})
        [delivery] = await inbox.wait("pay_1", "payment.canceled")
        said = Webhook(SECRET).verify(delivery.body, delivery.headers)
        assert said["data"]["id"] == opened["id"]


async def test_a_refused_webhook_comes_again_with_a_fresh_signature_and_the_same_id(
    sandbox_simulator: SandboxSimulator, inbox: Inbox
) -> None:
    inbox.answers[:] = [500, 302, 503]
    payment = await paid(sandbox_simulator)
    # The schedule is 5 s, 5 min, 30 min; this sandbox runs a hundred times faster.
    deliveries = await inbox.wait(payment.payment_id or "", "payment.succeeded", count=3)
    assert len({it.id for it in deliveries}) == 1
    assert len({it.body for it in deliveries}) == 1
    assert len({it.headers["webhook-timestamp"] for it in deliveries}) > 1
    for delivery in deliveries:
        await sandbox_simulator.provider.parse_webhook(await raw(sandbox_simulator, delivery))


async def test_dropped_webhooks_never_come_and_the_payment_knows_better(
    sandbox_simulator: SandboxSimulator, inbox: Inbox
) -> None:
    await sandbox_simulator.disturb_webhooks("drop", 1)
    payment = await paid(sandbox_simulator)
    later = await paid(sandbox_simulator)
    await inbox.wait(later.payment_id or "", "payment.succeeded")
    assert inbox.about(payment.payment_id or "") == []
    assert payment.state is PaymentState.SUCCEEDED


# ---- death and return --------------------------------------------------------------------------------------


async def test_what_was_answered_survives_sigkill_and_webhooks_follow_after_the_restart(
    inbox: Inbox, tmp_path: Path
) -> None:
    request = checkout_of()
    key = {"idempotency-key": request.payment_id}
    body = body_of(metadata={"payment_id": request.payment_id})
    # No server listens where the first life sends its webhooks.
    with running_sandbox(tmp_path, "http://127.0.0.1:1/", SECRET) as first, api(first) as http:
        answer = http.post("/v1/checkouts", json=body, headers=key)
        form = {"number": "4242424242424242", "expires": "12/34", "cvc": "123"}
        assert http.post(answer.json()["checkout_url"], data=form).status_code == 303
        moved_to = http.post("/control/clock", json={"advance_s": 86400.5}).json()["now"]
        first.process.kill()
        first.process.wait()
    with closing(sqlite3.connect(tmp_path / "sandbox.sqlite3")) as database, database:
        database.execute("UPDATE endpoints SET url = ?", (inbox.url,))
    with (
        running_sandbox(tmp_path, inbox.url, SECRET, port=first.port, speed=1000.0) as second,
        api(second) as http,
    ):
        assert second.url == first.url
        assert http.get("/control/clock").json()["now"] > moved_to
        payment = http.get(f"/v1/payments/{answer.json()['id']}").json()
        assert (payment["status"], payment["captured_minor"]) == ("succeeded", 1299)
        await inbox.wait(request.payment_id, "payment.succeeded")


async def test_a_sandbox_that_is_down_drops_calls_until_it_is_up(sandbox_simulator: SandboxSimulator) -> None:
    request = charge_of(await saved_method(sandbox_simulator))
    for how in ("drop", "503"):
        await sandbox_simulator.post("down", {"how": how})
        with pytest.raises(OutcomeUnknown):
            await sandbox_simulator.provider.charge(request)
    await sandbox_simulator.post("down", {"down": False})
    assert (await sandbox_simulator.provider.charge(request)).state is PaymentState.SUCCEEDED


async def test_the_clock_only_goes_forward(sandbox_simulator: SandboxSimulator) -> None:
    before = await sandbox_simulator.now()
    target = before + timedelta(days=31)
    await sandbox_simulator.post("clock", {"now": target.isoformat()})
    assert timedelta(0) <= await sandbox_simulator.now() - target < timedelta(seconds=5)
    back = await sandbox_simulator.http.post("/control/clock", json={"now": before.isoformat()})
    assert back.status_code == 400


def test_reset_forgets_everything_but_the_endpoints(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, "http://127.0.0.1:1/", SECRET) as sandbox, api(sandbox) as http:
        key = {"idempotency-key": "k"}
        opened = http.post("/v1/checkouts", json=body_of(), headers=key).json()
        http.post(
            opened["checkout_url"], data={"number": "4242424242424242", "expires": "12/34", "cvc": "123"}
        )
        assert http.post("/control/reset").status_code == 200
        assert http.get("/v1/payments").json()["data"] == []
        assert http.get("/v1/books").json()["currencies"] == {}
        assert http.post("/v1/checkouts", json=body_of(), headers=key).json()["id"] != opened["id"]
        with closing(sqlite3.connect(tmp_path / "sandbox.sqlite3")) as database:
            assert database.execute("SELECT count(*) FROM endpoints").fetchone() == (1,)


def test_without_the_control_surface_there_is_none(tmp_path: Path) -> None:
    app = build(Config(data=tmp_path, public_url="http://127.0.0.1", api_key="k", control=False))
    assert not [route for route in app.routes if "/control" in str(getattr(route, "path", ""))]
    app.state.sandbox.db.close()


def test_each_refusal_of_the_engine_has_a_status_and_a_code_on_the_wire() -> None:
    answers = {reason: refusal_answer(Refused(reason, "words")) for reason in Reason}
    assert all(400 <= answer.status < 500 for answer in answers.values())
    assert all(answer.body["error"]["code"] for answer in answers.values())
