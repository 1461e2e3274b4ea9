"""What is YooKassa's own: hints, networks, receipts, cards that are saved without a payment, two stages, its errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from infra.sandbox.faces.yookassa.ids import SHOP_ID
from infra.sandbox.launch import SandboxHandle
from shared_lib.domain.money import Money
from shared_lib.ids import new_id
from shared_lib.providers.base import (
    AnswerMismatch,
    DeclineKind,
    EventKind,
    IdempotencyMismatch,
    InputRejected,
    InvalidRequest,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    PaymentRef,
    PaymentState,
    RateLimited,
    RawWebhook,
    RefundRejected,
    Trust,
    Unavailable,
    WebhookRejected,
    WebhookUnreadable,
)
from shared_lib.providers.transport import Exchange
from shared_lib.providers.yookassa.answers import BINDING, DECLINES, payment_of
from shared_lib.providers.yookassa.errors import Doing, error_of
from shared_lib.providers.yookassa.hints import NETWORKS, hint_of, is_theirs
from shared_lib.providers.yookassa.wire import amount, instant_of, key_of, read_amount
from tests.providers.inbox import Inbox
from tests.providers.simulator import charge_of, checkout_of, paid, raw, refund_of, saved_method
from tests.providers.yookassa_simulator import YooKassaSimulator

ID = "2d2a1f3c-000f-5000-9000-1b2c3d4e5f60"


@pytest.fixture
async def yookassa(sandbox: SandboxHandle, inbox: Inbox) -> Any:
    simulator = YooKassaSimulator(sandbox, inbox, ())
    yield simulator
    await simulator.aclose()


async def direct(simulator: YooKassaSimulator, method: str, path: str, body: Any = None) -> httpx.Response:
    """A call of a merchant's own, without our client."""
    return await simulator.http.request(
        method,
        f"/v3{path}",
        json=body,
        auth=(SHOP_ID, simulator.secret_key),
        headers={"idempotence-key": new_id("key")},
    )


# ---- amounts, keys, times ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minor", "value"), [(1, "0.01"), (10, "0.10"), (1299, "12.99"), (10**11, "1000000000.00")]
)
def test_amounts_are_text_with_two_decimals_both_ways(minor: int, value: str) -> None:
    money = Money(minor, "RUB")
    assert amount(money) == {"value": value, "currency": "RUB"}
    assert read_amount({"amount": amount(money)}, "amount") == money


@pytest.mark.parametrize(
    "value", ["12", "12.9", "12.999", "-1.00", "1e3", "\u0661.\u0660\u0660", "1,00", "", " 1.00", 12.99, None]
)
def test_an_amount_in_another_form_is_unreadable(value: object) -> None:
    with pytest.raises(ValueError, match=r"amount|value"):
        read_amount({"amount": {"value": value, "currency": "RUB"}}, "amount")


def test_a_key_that_yookassa_would_refuse_becomes_a_uuid_and_always_the_same() -> None:
    assert key_of("pay_01M8JA9ZDDP669GRC5C8MN9CWR") == "pay_01M8JA9ZDDP669GRC5C8MN9CWR"
    for ours in ("x" * 65, "with space", "a:b", ""):
        assert key_of(ours) == key_of(ours) != ours
        assert len(key_of(ours)) == 36
    assert key_of("a:b") != key_of("a:c")


def test_instants_are_rounded_down_so_that_windows_touch() -> None:
    assert instant_of(datetime(2026, 1, 2, 3, 4, 5, 678_999, UTC)) == "2026-01-02T03:04:05.678Z"


# ---- answers ---------------------------------------------------------------------------------------------


def answered(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "status": "canceled",
        "amount": {"value": "399.00", "currency": "RUB"},
        "created_at": "2026-01-02T03:04:05.678Z",
        "test": False,
        **changed,
    }


@pytest.mark.parametrize(("reason", "kind"), [(reason, kind) for reason, (kind, _) in DECLINES.items()])
def test_each_reason_of_a_bank_is_a_decline_of_its_kind(reason: str, kind: DeclineKind) -> None:
    payment = payment_of(answered(cancellation_details={"party": "payment_network", "reason": reason}))
    assert payment.state is PaymentState.DECLINED
    assert payment.decline
    assert (payment.decline.kind, payment.decline.provider_code) == (kind, reason)
    assert payment.livemode


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("expired_on_confirmation", PaymentState.EXPIRED),
        ("expired_on_capture", PaymentState.CANCELED),
        ("canceled_by_merchant", PaymentState.CANCELED),
        ("deal_expired", PaymentState.CANCELED),
    ],
)
def test_an_end_that_no_bank_chose_is_no_decline(reason: str, state: PaymentState) -> None:
    payment = payment_of(answered(cancellation_details={"party": "yoo_money", "reason": reason}))
    assert (payment.state, payment.decline) == (state, None)


def test_the_mark_of_a_test_is_believed_only_when_it_says_no() -> None:
    assert payment_of(answered(test=False)).livemode
    for mark in (True, None, "false", 0):
        assert not payment_of(answered(test=mark)).livemode


def test_a_method_that_was_not_saved_is_none() -> None:
    method = {"type": "bank_card", "id": ID, "saved": True, "card": {"last4": "4477", "card_type": "Mir"}}
    assert payment_of(answered(payment_method=method)).saved_method
    for changed in ({"saved": False}, {"status": "inactive"}, {"status": "pending"}):
        assert payment_of(answered(payment_method={**method, **changed})).saved_method is None


# ---- errors ----------------------------------------------------------------------------------------------


def exchange(status: int, **body: Any) -> Exchange:
    return Exchange(
        status=status, body={"type": "error", "id": ID, **body}, request_id=None, retry_after=None
    )


@pytest.mark.parametrize(
    ("status", "body", "doing", "kind"),
    [
        (400, {"code": "invalid_request", "parameter": "amount"}, Doing.PAY, InvalidRequest),
        (400, {"code": "invalid_request", "parameter": "amount"}, Doing.REFUND, RefundRejected),
        (400, {"code": "invalid_request", "parameter": "payment_id"}, Doing.REFUND, RefundRejected),
        (400, {"code": "not_supported"}, Doing.REFUND, RefundRejected),
        (400, {"code": "invalid_request", "parameter": "payment_method_id"}, Doing.PAY, NotFound),
        (400, {"code": "invalid_request", "parameter": "Idempotence-Key"}, Doing.PAY, IdempotencyMismatch),
        (400, {"code": "invalid_request", "parameter": "confirmation.return_url"}, Doing.PAY, InputRejected),
        (400, {"code": "invalid_request", "parameter": "receipt.customer.email"}, Doing.PAY, InputRejected),
        (400, {"code": "invalid_request", "parameter": "receipt.items"}, Doing.PAY, InvalidRequest),
        (403, {"code": "forbidden"}, Doing.PAY, NotAllowed),
        (404, {"code": "not_found"}, Doing.READ, NotFound),
        (405, {}, Doing.PAY, InvalidRequest),
        (410, {"code": "gone"}, Doing.READ, InvalidRequest),
        (429, {"code": "too_many_requests"}, Doing.PAY, RateLimited),
        (202, {"type": "processing"}, Doing.PAY, OutcomeUnknown),
        (202, {"type": "processing"}, Doing.READ, Unavailable),
        (408, {}, Doing.REFUND, OutcomeUnknown),
        (500, {"code": "internal_server_error"}, Doing.PAY, OutcomeUnknown),
        (502, {}, Doing.READ, Unavailable),
        (301, {}, Doing.PAY, OutcomeUnknown),
    ],
)
def test_each_error_is_of_its_class(
    status: int, body: dict[str, Any], doing: Doing, kind: type[Exception]
) -> None:
    error = error_of(exchange(status, **body), doing)
    assert type(error) is kind
    assert (error.http_status, error.request_id) == (status, ID)


def test_an_error_repeats_no_text_of_theirs_and_says_how_long_to_wait() -> None:
    told = exchange(429, code="x y", parameter="<b>", description="key test_secret", retry_after=1800)
    error = error_of(told, Doing.PAY)
    assert error.retry_after == timedelta(seconds=1.8)
    assert str(error) == "yookassa:http_429: parameter none"
    assert error_of(exchange(429, retry_after=10**30), Doing.PAY).retry_after == timedelta(days=1)
    assert error_of(exchange(429, retry_after=True), Doing.PAY).retry_after is None


# ---- webhooks ----------------------------------------------------------------------------------------------


def notification(event: str = "payment.succeeded", **about: Any) -> bytes:
    return json.dumps({"type": "notification", "event": event, "object": {"id": ID, **about}}).encode()


@pytest.mark.parametrize(
    ("address", "theirs"),
    [
        ("185.71.76.0", True),
        ("185.71.76.31", True),
        ("185.71.76.32", False),
        ("77.75.156.11", True),
        ("77.75.156.12", False),
        ("77.75.154.127", False),
        ("2a02:5180::1", True),
        ("2a02:5181::1", False),
        ("127.0.0.1", False),
        ("185.71.76.5, 127.0.0.1", False),
        ("", False),
        (None, False),
    ],
)
def test_the_networks_are_those_of_the_documentation(address: str | None, theirs: bool) -> None:
    assert is_theirs(address, NETWORKS) is theirs


async def test_a_webhook_from_another_address_is_rejected_whatever_it_says(
    yookassa: YooKassaSimulator,
) -> None:
    for address in ("203.0.113.9", None, "not an address"):
        webhook = RawWebhook(
            headers={}, body=notification(), source_ip=address, received_at=datetime.now(UTC)
        )
        with pytest.raises(WebhookRejected) as rejected:
            await yookassa.provider.parse_webhook(webhook)
        assert rejected.value.code == "foreign_address"


def test_a_hint_names_the_object_and_believes_nothing_of_it() -> None:
    hint = hint_of(notification(status="succeeded", amount={"value": "1000000.00", "currency": "RUB"}))
    assert (hint.kind, hint.object_id, hint.trust) == (EventKind.PAYMENT, ID, Trust.HINT)
    assert (hint.dedup_id, hint.payment, hint.refund) == (f"payment.succeeded:{ID}", None, None)


def test_a_hint_about_a_refund_names_its_payment() -> None:
    hint = hint_of(notification("refund.succeeded", payment_id="of-it"))
    assert hint.returns == PaymentRef(provider="yookassa", provider_payment_id="of-it")
    assert hint.dedup_id == f"refund.succeeded:{ID}"


def test_a_hint_about_anything_else_is_ignored() -> None:
    hint = hint_of(notification("payout.succeeded"))
    assert (hint.kind, hint.object_id) == (EventKind.IGNORED, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"event": 1}',
        b'{"event": "payment.succeeded"}',
        b'{"event":"refund.succeeded","object":{"id":"x"}}',
        b"[" * 10_000,
    ],
)
async def test_a_webhook_from_its_address_that_cannot_be_read_is_said_to_be_so(
    yookassa: YooKassaSimulator, body: bytes
) -> None:
    webhook = RawWebhook(headers={}, body=body, source_ip="127.0.0.1", received_at=datetime.now(UTC))
    with pytest.raises(WebhookUnreadable):
        await yookassa.provider.parse_webhook(webhook)


async def test_a_forged_hint_brings_what_is_true(yookassa: YooKassaSimulator) -> None:
    request = checkout_of()
    opened = await yookassa.provider.create_checkout(request)
    body = notification(id=opened.ref.provider_payment_id, status="succeeded", paid=True)
    webhook = RawWebhook(headers={}, body=body, source_ip="127.0.0.1", received_at=datetime.now(UTC))
    [event] = await yookassa.provider.parse_webhook(webhook)
    fetched = await yookassa.provider.fetch_payment(
        PaymentRef(provider="yookassa", provider_payment_id=event.object_id)
    )
    assert (fetched.state, fetched.captured.minor) == (PaymentState.PENDING, 0)


# ---- receipts --------------------------------------------------------------------------------------------


async def receipts(simulator: YooKassaSimulator, **of: str) -> list[dict[str, Any]]:
    answer = await simulator.http.get("/v3/receipts", params=of, auth=(SHOP_ID, simulator.secret_key))
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_payment_a_renewal_and_a_refund_each_have_their_receipt(yookassa: YooKassaSimulator) -> None:
    payment = await paid(yookassa, save_method=True, customer_email="ann@example.com")
    assert payment.saved_method
    renewal = await yookassa.provider.charge(charge_of(payment.saved_method))
    refund = await yookassa.provider.refund(refund_of(payment, Money(300, "EUR")))

    [first] = await receipts(yookassa, payment_id=payment.ref.provider_payment_id)
    [second] = await receipts(yookassa, payment_id=renewal.ref.provider_payment_id)
    [third] = await receipts(yookassa, refund_id=refund.provider_refund_id)
    item = {"quantity": 1.0, "vat_code": 4, "payment_subject": "service", "payment_mode": "full_payment", "measure": "piece"}  # fmt: skip
    whole, part = {"value": "12.99", "currency": "EUR"}, {"value": "3.00", "currency": "EUR"}
    assert first["items"] == [item | {"description": "Blade Runner", "amount": whole}]
    assert second["items"] == [item | {"description": "Cinema monthly", "amount": whole}]
    assert third["items"] == [item | {"description": "Refund", "amount": part}]
    assert [it["type"] for it in (first, second, third)] == ["payment", "payment", "refund"]


async def test_a_receipt_that_does_not_add_up_is_refused(yookassa: YooKassaSimulator) -> None:
    item = {"description": "x", "quantity": 2, "amount": {"value": "1.00", "currency": "EUR"}, "vat_code": 1}
    body = {
        "amount": {"value": "2.01", "currency": "EUR"},
        "confirmation": {"type": "redirect", "return_url": "https://cinema.example"},
        "receipt": {"customer": {"email": "a@example.com"}, "items": [item]},
    }
    assert (await direct(yookassa, "POST", "/payments", body)).status_code == 400
    body["amount"] = {"value": "2.00", "currency": "EUR"}
    assert (await direct(yookassa, "POST", "/payments", body)).status_code == 200


# ---- two stages, saved cards, searches ---------------------------------------------------------------------


async def waiting(simulator: YooKassaSimulator) -> PaymentRef:
    """A payment that a merchant made in two stages, which waits for its capture."""
    body = {
        "amount": {"value": "12.99", "currency": "EUR"},
        "capture": False,
        "confirmation": {"type": "redirect", "return_url": "https://cinema.example"},
    }
    answer = (await direct(simulator, "POST", "/payments", body)).json()
    await simulator.pay(answer["confirmation"]["confirmation_url"])
    return PaymentRef(provider="yookassa", provider_payment_id=answer["id"])


async def test_a_payment_that_waits_for_its_capture_is_approved_and_is_collected_once(
    yookassa: YooKassaSimulator,
) -> None:
    ref = await waiting(yookassa)
    found = await yookassa.provider.fetch_payment(ref)
    assert (found.state, found.captured.minor) == (PaymentState.APPROVED, 0)
    done = await yookassa.provider.complete_checkout(ref, "key")
    assert (done.state, done.captured) == (PaymentState.SUCCEEDED, Money(1299, "EUR"))
    assert await yookassa.provider.complete_checkout(ref, "key") == done


async def test_a_payment_that_waits_for_its_capture_is_released(yookassa: YooKassaSimulator) -> None:
    ref = await waiting(yookassa)
    released = await yookassa.provider.cancel_checkout(ref, "other-key")
    assert (released.state, released.captured.minor) == (PaymentState.CANCELED, 0)


async def test_an_approval_that_is_not_captured_lapses(yookassa: YooKassaSimulator) -> None:
    ref = await waiting(yookassa)
    await yookassa.advance(timedelta(days=8))
    assert (await yookassa.provider.fetch_payment(ref)).state is PaymentState.CANCELED


async def test_a_card_is_saved_without_a_payment_and_its_webhook_says_so(yookassa: YooKassaSimulator) -> None:
    request = checkout_of(amount=Money(0, "EUR"), save_method=True)
    opened = await yookassa.provider.create_checkout(request)
    assert opened.ref.provider_payment_id.startswith(BINDING)
    assert (opened.payment_id, opened.order_id) == (request.payment_id, request.order_id)
    assert opened.checkout_url
    await yookassa.pay(opened.checkout_url)
    theirs = opened.ref.provider_payment_id.removeprefix(BINDING)
    [delivery] = await yookassa.inbox.wait(theirs, "payment_method.active")
    [hint] = await yookassa.provider.parse_webhook(await raw(yookassa, delivery))
    assert (hint.kind, hint.object_id) == (EventKind.PAYMENT, opened.ref.provider_payment_id)
    saved = await yookassa.provider.fetch_payment(opened.ref)
    assert (saved.state, saved.amount) == (PaymentState.SUCCEEDED, Money(0, "EUR"))
    assert not saved.livemode
    with pytest.raises(NotFound):
        await yookassa.provider.fetch_payment(PaymentRef(provider="yookassa", provider_payment_id=theirs))


async def test_a_card_that_is_not_saved_in_its_hour_is_an_expired_checkout(
    yookassa: YooKassaSimulator,
) -> None:
    opened = await yookassa.provider.create_checkout(checkout_of(amount=Money(0, "EUR"), save_method=True))
    await yookassa.advance(timedelta(minutes=61))
    assert (await yookassa.provider.fetch_payment(opened.ref)).state is PaymentState.EXPIRED


async def test_a_method_of_another_shop_is_not_found(yookassa: YooKassaSimulator) -> None:
    with pytest.raises(NotFound):
        await yookassa.provider.charge(charge_of(yookassa.unknown_method))


async def test_a_search_goes_beyond_the_first_hour_and_the_first_day(yookassa: YooKassaSimulator) -> None:
    method = await saved_method(yookassa)
    since = await yookassa.now()
    for later in (timedelta(0), timedelta(hours=2), timedelta(hours=25)):
        await yookassa.advance(later)
        made = await yookassa.provider.charge(charge_of(method))
        assert await yookassa.provider.find_payment(made.payment_id or "", since) == made
        await yookassa.advance(timedelta(seconds=1))


async def test_a_refund_of_all_that_is_left_is_not_made_twice(yookassa: YooKassaSimulator) -> None:
    payment = await paid(yookassa)
    request = refund_of(payment)
    first = await yookassa.provider.refund(request)
    assert await yookassa.provider.refund(request) == first


async def test_a_link_to_an_unsafe_address_is_refused(yookassa: YooKassaSimulator) -> None:
    request = checkout_of()
    unsafe = {"confirmation": {"type": "redirect", "confirmation_url": "javascript:alert(1)"}}
    await yookassa.trouble("tampered", request.payment_id, set=unsafe)
    with pytest.raises(AnswerMismatch):
        await yookassa.provider.create_checkout(request)
