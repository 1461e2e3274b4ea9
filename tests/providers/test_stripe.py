"""What is Stripe's own: amounts, forms, decline codes, error classes, signatures, and lists that are read to find a payment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared_lib.domain.money import Money
from shared_lib.ids import new_id
from shared_lib.providers.base import (
    BadCredentials,
    DeclineKind,
    EventKind,
    IdempotencyMismatch,
    InputRejected,
    InvalidRequest,
    KeyInUse,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    PaymentRef,
    PaymentState,
    ProviderError,
    RateLimited,
    RefundRejected,
    Trust,
    Unavailable,
    WebhookUnreadable,
)
from shared_lib.providers.reading import Unreadable
from shared_lib.providers.stripe import lists
from shared_lib.providers.stripe.amounts import ours, theirs
from shared_lib.providers.stripe.declines import decline_of
from shared_lib.providers.stripe.errors import charge_error, error_of, refund_error
from shared_lib.providers.stripe.forms import encoded
from shared_lib.providers.stripe.objects import intent_payment, session_payment
from shared_lib.providers.stripe.webhooks import Verifier, event_of
from shared_lib.providers.transport import Exchange
from shared_lib.standard_webhook import NotAuthentic
from tests.providers.simulator import charge_of, checkout_of, paid, refund_of, saved_method
from tests.providers.stripe_simulator import StripeSimulator

BEGINNING = timedelta(days=400)
AT = datetime.fromtimestamp(1700000000, UTC)


# ---- amounts and forms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("money", "units"),
    [
        (Money(1299, "EUR"), 1299),
        (Money(1299, "JPY"), 1299),
        (Money(500, "ISK"), 50000),  # two decimals that are 00
        (Money(500, "MGA"), 5),  # none at Stripe, two in ISO 4217
        (Money(1290, "KWD"), 1290),  # three, of which the last is 0
        (Money(0, "EUR"), 0),
    ],
)
def test_amounts_go_there_and_back(money: Money, units: int) -> None:
    assert theirs(money) == units
    assert ours(units, money.currency.lower()) == money


@pytest.mark.parametrize("money", [Money(1299, "KWD"), Money(501, "MGA")])
def test_an_amount_with_digits_that_stripe_does_not_charge_is_refused_before_it_is_sent(money: Money) -> None:
    with pytest.raises(InvalidRequest) as refused:
        theirs(money)
    assert not refused.value.may_have_executed


@pytest.mark.parametrize("units", [-1, 1.5, True, "1299", None, 10**15])
def test_an_amount_that_is_none_is_unreadable(units: object) -> None:
    with pytest.raises(Unreadable):
        ours(units, "eur")
    with pytest.raises(Unreadable):
        ours(50001, "isk")


def test_a_body_is_a_form_with_brackets() -> None:
    body = {"a": {"b": [{"c": 1}, True], "d": None}, "metadata": {"x": "ä&="}, "f": False, "expand": ("p.q",)}
    assert encoded(body) == (
        b"a%5Bb%5D%5B0%5D%5Bc%5D=1&a%5Bb%5D%5B1%5D=true&metadata%5Bx%5D=%C3%A4%26%3D&f=false&expand%5B0%5D=p.q"
    )


# ---- declines ----------------------------------------------------------------------------------------------

SOFT, HARD, ACT = DeclineKind.SOFT, DeclineKind.HARD, DeclineKind.ACTION_REQUIRED


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        ({"code": "card_declined", "decline_code": "insufficient_funds"}, SOFT, "insufficient_funds"),
        ({"code": "card_declined", "decline_code": "generic_decline"}, SOFT, "card_declined"),
        ({"code": "card_declined", "decline_code": "stolen_card"}, HARD, "card_declined"),
        ({"code": "expired_card"}, HARD, "card_expired"),
        ({"code": "expired_card", "advice_code": "confirm_card_data"}, ACT, "card_expired"),
        ({"code": "card_declined", "decline_code": "fraudulent", "advice_code": "try_again_later"}, SOFT, "card_declined"),
        ({"code": "card_declined", "decline_code": "insufficient_funds", "advice_code": "do_not_try_again"}, HARD, "insufficient_funds"),
        ({"code": "authentication_required", "decline_code": "authentication_required"}, ACT, "authentication_required"),
        ({"code": "card_declined", "decline_code": "authentication_required"}, ACT, "authentication_required"),
        ({"code": "payment_intent_authentication_failure"}, ACT, "authentication_required"),
        ({"code": "processing_error"}, SOFT, "try_again_later"),
        ({"code": "card_declined", "decline_code": "generic_decline", "network_advice_code": "03"}, HARD, "card_declined"),
        ({"code": "card_declined", "decline_code": "generic_decline", "network_decline_code": "41"}, HARD, "card_declined"),
        ({"code": "card_declined", "decline_code": "insufficient_funds", "network_decline_code": "51"}, SOFT, "insufficient_funds"),
        ({"code": "a_code_of_tomorrow"}, SOFT, "card_declined"),
        ({}, SOFT, "card_declined"),
    ],
)  # fmt: skip
def test_advice_goes_before_codes_and_codes_before_the_network(
    error: Mapping[str, Any], kind: DeclineKind, reason: str
) -> None:
    decline = decline_of(error)
    assert (decline.kind, decline.reason) == (kind, reason)
    assert decline.provider_code == error.get("decline_code", error.get("code", "unknown"))


def test_the_network_says_when_to_try_again() -> None:
    error = {"code": "card_declined", "decline_code": "do_not_honor", "network_advice_code": "26"}
    assert decline_of(error).retry_after == timedelta(days=2)
    assert decline_of(error | {"advice_code": "do_not_try_again"}).retry_after is None


# ---- errors ------------------------------------------------------------------------------------------------


def answered(status: int, **error: Any) -> Exchange:
    return Exchange(status=status, body={"error": error}, request_id="req_1", retry_after=None)


@pytest.mark.parametrize(
    ("exchange", "writing", "reading"),
    [
        (answered(400, type="invalid_request_error", param="amount"), InvalidRequest, InvalidRequest),
        (answered(400, type="invalid_request_error", param="success_url"), InputRejected, InputRejected),
        (answered(400, type="idempotency_error"), IdempotencyMismatch, IdempotencyMismatch),
        (answered(401, type="invalid_request_error"), BadCredentials, BadCredentials),
        (answered(402, type="invalid_request_error"), InvalidRequest, InvalidRequest),
        (answered(403, type="invalid_request_error"), NotAllowed, NotAllowed),
        (answered(404, type="invalid_request_error", code="resource_missing"), NotFound, NotFound),
        (answered(404, type="invalid_request_error"), InvalidRequest, InvalidRequest),
        (answered(409, code="idempotency_key_in_use"), KeyInUse, KeyInUse),
        (answered(413), InvalidRequest, InvalidRequest),
        (answered(424), OutcomeUnknown, Unavailable),
        (answered(429, code="lock_timeout"), RateLimited, RateLimited),
        (answered(500, type="api_error"), OutcomeUnknown, Unavailable),
        (answered(503), OutcomeUnknown, Unavailable),
        (Exchange(status=302, body={}, request_id=None, retry_after=None), InvalidRequest, InvalidRequest),
    ],
)
def test_each_answer_has_its_class(
    exchange: Exchange, writing: type[ProviderError], reading: type[ProviderError]
) -> None:
    assert type(error_of(exchange, mutates=True)) is writing
    assert type(error_of(exchange, mutates=False)) is reading


@pytest.mark.parametrize(
    ("error", "of_a_charge", "of_a_refund"),
    [
        ({"param": "amount"}, InvalidRequest, RefundRejected),
        ({"code": "charge_already_refunded"}, InvalidRequest, RefundRejected),
        ({"code": "charge_disputed"}, InvalidRequest, RefundRejected),
        ({"param": "payment_intent"}, InvalidRequest, RefundRejected),
        ({"param": "payment_method"}, NotFound, InvalidRequest),
        ({"message": "It was detached from a Customer. It may not be used again."}, NotFound, InvalidRequest),
        ({"code": "resource_missing", "param": "payment_method"}, NotFound, NotFound),
        ({"code": "resource_missing", "param": "payment_intent"}, NotFound, NotFound),
        ({"param": "reason"}, InvalidRequest, InvalidRequest),
    ],
)
def test_what_a_400_means_depends_on_the_call(
    error: dict[str, Any], of_a_charge: type[ProviderError], of_a_refund: type[ProviderError]
) -> None:
    exchange = answered(400, type="invalid_request_error", **error)
    assert type(charge_error(exchange)) is of_a_charge
    assert type(refund_error(exchange)) is of_a_refund


def test_an_error_says_codes_and_no_words_of_the_provider() -> None:
    said = error_of(
        answered(400, type="x", code="odd", param="p", message="of ann@example.com"), mutates=True
    )
    assert str(said) == "stripe:odd: param p"
    assert said.request_id == "req_1"


# ---- objects -----------------------------------------------------------------------------------------------

SESSION: dict[str, Any] = {
    "id": "cs_1", "object": "checkout.session", "status": "open", "payment_status": "unpaid", "currency": "eur",
    "amount_total": 1299, "metadata": {"payment_id": "pay_1", "order_id": "ord_1"}, "created": 1700000000,
    "livemode": True, "payment_intent": None,
}  # fmt: skip
INTENT: dict[str, Any] = {
    "id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 1299, "amount_received": 1299,
    "currency": "eur", "metadata": {"payment_id": "pay_1"}, "livemode": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "payment_status", "intent", "state"),
    [
        ("open", "unpaid", None, PaymentState.PENDING),
        ("open", "unpaid", {"id": "pi_1", "status": "requires_payment_method"}, PaymentState.PENDING),
        ("complete", "paid", {"id": "pi_1", "amount_received": 1299}, PaymentState.SUCCEEDED),
        ("complete", "unpaid", {"id": "pi_1", "status": "processing"}, PaymentState.PENDING),
        ("complete", "unpaid", {"id": "pi_1", "status": "requires_payment_method"}, PaymentState.DECLINED),
        ("expired", "unpaid", None, PaymentState.EXPIRED),
        ("quantum", "unpaid", None, PaymentState.PENDING),
    ],
)
def test_a_session_has_its_state(
    status: str, payment_status: str, intent: dict[str, Any] | None, state: PaymentState
) -> None:
    body = SESSION | {"status": status, "payment_status": payment_status, "payment_intent": intent}
    found = session_payment(body)
    assert found.state is state
    assert found.captured.minor == (1299 if state is PaymentState.SUCCEEDED else 0)
    assert (found.decline is not None) is (state is PaymentState.DECLINED)
    assert found.livemode
    assert found.ref.capture_id == (intent and intent["id"])


@pytest.mark.parametrize(
    ("status", "error", "state"),
    [
        ("succeeded", None, PaymentState.SUCCEEDED),
        ("processing", None, PaymentState.PENDING),
        ("requires_action", None, PaymentState.ACTION_REQUIRED),
        ("requires_confirmation", None, PaymentState.PENDING),
        ("requires_capture", None, PaymentState.PENDING),
        ("requires_payment_method", None, PaymentState.PENDING),
        ("requires_payment_method", {"code": "card_declined"}, PaymentState.DECLINED),
        ("canceled", None, PaymentState.CANCELED),
        ("quantum", None, PaymentState.PENDING),
    ],
)
def test_an_intent_has_its_state(status: str, error: dict[str, Any] | None, state: PaymentState) -> None:
    found = intent_payment(INTENT | {"status": status, "last_payment_error": error})
    assert found.state is state
    assert not found.livemode


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": None}, {"amount": "1299"}, {"currency": "euro"}, {"currency": None}, {"id": ""}, {"status": 7},
        {"created": -1}, {"created": "2026"}, {"amount_received": -5}, {"metadata": {"payment_id": 5}},
        {"payment_method": {"id": "pm_1", "customer": "cus_1", "type": "card", "card": {"exp_month": 13, "exp_year": 2030}}},
    ],
)  # fmt: skip
def test_an_object_that_is_not_as_documented_is_unreadable(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        intent_payment(INTENT | wrong)


def test_a_card_of_no_customer_is_not_a_saved_one() -> None:
    card = {"id": "pm_1", "customer": None, "type": "card", "card": {"brand": "visa", "last4": "4242"}}
    assert intent_payment(INTENT | {"payment_method": card}).saved_method is None
    debit = {"id": "pm_2", "customer": {"id": "cus_1"}, "type": "sepa_debit", "sepa_debit": {"last4": "3000"}}
    saved = intent_payment(INTENT | {"payment_method": debit}).saved_method
    assert saved
    assert (saved.customer_id, saved.brand, saved.last4) == ("cus_1", "sepa_debit", "3000")


# ---- webhooks ----------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_published_example() -> None:
    body = b'{"id":"evt_1","object":"event","type":"checkout.session.completed"}'
    header = "t=1700000000,v1=d1e4aa90551919f198c22ba0a9691b35338d4b631d54ce1f1465e93b1d41c430"
    for secrets in (["whsec_test_secret"], ["whsec_another_one_", "whsec_test_secret"]):
        Verifier(secrets).check(header, body, AT)
    Verifier(["whsec_test_secret"]).check(f"v0=00,{header},v1=ff", body, AT)
    with pytest.raises(NotAuthentic):
        Verifier([]).check(header, body, AT)


@pytest.mark.parametrize(("off_s", "fresh"), [(300, True), (301, False), (-300, True), (-301, False)])
def test_a_signature_is_fresh_for_five_minutes_in_both_directions(off_s: int, *, fresh: bool) -> None:
    body = b'{"id":"evt_1","object":"event","type":"checkout.session.completed"}'
    header = "t=1700000000,v1=d1e4aa90551919f198c22ba0a9691b35338d4b631d54ce1f1465e93b1d41c430"
    verifier, now = Verifier(["whsec_test_secret"]), AT + timedelta(seconds=off_s)
    if fresh:
        verifier.check(header, body, now)
        return
    with pytest.raises(NotAuthentic) as refused:
        verifier.check(header, body, now)
    assert str(refused.value) == "stale_timestamp"


def test_a_secret_that_is_none_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="whsec_") as refused:
        Verifier(["another_0123456789abcdef"])
    assert "0123456789abcdef" not in str(refused.value)
    assert "secret_text" not in repr(Verifier(["whsec_secret_text"]))


def event(type_: str, about: dict[str, Any]) -> Any:
    body = {"id": "evt_1", "object": "event", "type": type_, "created": 1700000000, "data": {"object": about}}
    return event_of(json.dumps(body).encode())


OURS = {"payment_id": "pay_1"}


@pytest.mark.parametrize(
    ("type_", "about", "kind", "trust", "object_id"),
    [
        ("checkout.session.completed", SESSION, EventKind.PAYMENT, Trust.HINT, "cs_1"),
        ("checkout.session.expired", SESSION | {"metadata": {}}, EventKind.IGNORED, Trust.SIGNED, ""),
        ("payment_intent.succeeded", INTENT, EventKind.PAYMENT, Trust.SIGNED, "pi_1"),
        ("payment_intent.succeeded", INTENT | {"metadata": OURS | {"boxoffice_flow": "checkout"}}, EventKind.IGNORED, Trust.SIGNED, ""),
        ("payment_intent.succeeded", INTENT | {"metadata": {}}, EventKind.IGNORED, Trust.SIGNED, ""),
        ("charge.refunded", {"id": "ch_1", "payment_intent": "pi_1", "metadata": OURS}, EventKind.PAYMENT, Trust.HINT, "pi_1"),
        ("charge.refunded", {"id": "ch_1", "payment_intent": "pi_1", "metadata": {}}, EventKind.IGNORED, Trust.SIGNED, ""),
        ("refund.created", {"id": "re_1", "metadata": {}}, EventKind.IGNORED, Trust.SIGNED, ""),
        ("charge.dispute.created", {"id": "dp_1"}, EventKind.DISPUTE, Trust.SIGNED, "dp_1"),
        ("payment_method.detached", {"id": "pm_1"}, EventKind.METHOD, Trust.SIGNED, "pm_1"),
        ("invoice.paid", {"id": "in_1"}, EventKind.IGNORED, Trust.SIGNED, ""),
    ],
)  # fmt: skip
def test_each_event_says_what_to_do(
    type_: str, about: dict[str, Any], kind: EventKind, trust: Trust, object_id: str
) -> None:
    found = event(type_, about)
    assert (found.kind, found.trust, found.object_id) == (kind, trust, object_id)
    assert found.dedup_id == "evt_1"
    assert found.occurred_at == AT
    assert (found.payment is not None) is (kind is EventKind.PAYMENT and trust is Trust.SIGNED)
    assert found.method_gone is (type_ == "payment_method.detached")


def test_a_refund_of_ours_names_the_payment_that_we_know() -> None:
    about = {
        "id": "re_1", "amount": 300, "currency": "eur", "status": "failed", "failure_reason": "lost_or_stolen_card",
        "payment_intent": "pi_1", "metadata": {"refund_id": "ref_1", "payment": "cs_1"},
    }  # fmt: skip
    refund = event("refund.failed", about).refund
    assert refund.payment == PaymentRef(provider="stripe", provider_payment_id="cs_1", capture_id="pi_1")
    assert (refund.our_refund_id, refund.reason) == ("ref_1", "lost_or_stolen_card")


# ---- against the bank --------------------------------------------------------------------------------------


async def test_a_signed_event_that_cannot_be_read_is_unreadable(stripe: StripeSimulator) -> None:
    await paid(stripe)
    for body in (
        b"[]",
        b'{"id":"evt_1"}',
        b'{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"metadata":{"payment_id":"p"}}}}',
    ):
        with pytest.raises(WebhookUnreadable):
            await stripe.provider.parse_webhook(stripe.signed(body, await stripe.now()))


async def test_an_intent_of_a_page_is_answered_by_its_session(stripe: StripeSimulator) -> None:
    payment = await paid(stripe, save_method=True)
    assert payment.ref.capture_id
    by_intent = PaymentRef(provider="stripe", provider_payment_id=payment.ref.capture_id)
    assert await stripe.provider.fetch_payment(by_intent) == payment


async def test_a_refund_made_in_the_dashboard_is_fetched_with_its_payment(stripe: StripeSimulator) -> None:
    payment = await paid(stripe)
    theirs_id = stripe.in_the_bank(payment.ref.provider_payment_id)
    await stripe.post("refunds", {"payment": theirs_id, "amount_minor": 300})
    [delivery] = await stripe.inbox.wait(payment.payment_id or "", "charge.refunded")
    told = await stripe.told(delivery)
    assert told.payment
    assert (told.payment.ref, told.payment.refunded) == (payment.ref, Money(300, "EUR"))
    [refund] = [it async for it in stripe.provider.list_refunds(payment.ref)]
    assert (refund.our_refund_id, refund.amount) == (None, Money(300, "EUR"))


async def test_a_refund_needs_no_capture_id(stripe: StripeSimulator) -> None:
    payment = await paid(stripe)
    bare = PaymentRef(provider="stripe", provider_payment_id=payment.ref.provider_payment_id)
    request = refund_of(payment)
    refund = await stripe.provider.refund(
        type(request)(
            payment=bare, refund_id=request.refund_id, amount=None, idempotency_key=request.refund_id
        )
    )
    assert refund == await stripe.provider.find_refund(request.refund_id, payment.ref)


async def test_a_payment_beyond_the_lists_is_searched_for_and_never_called_missing_by_mistake(
    stripe: StripeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PAGE", 2)
    monkeypatch.setattr(lists, "LOOKED_AT_MAX", 1)
    method = await saved_method(stripe)
    await stripe.advance(timedelta(minutes=20))
    since = await stripe.now() - timedelta(minutes=10)
    asked = charge_of(method)
    charged = await stripe.provider.charge(asked)
    for _ in range(3):
        await stripe.provider.charge(charge_of(method))
    # Neither in the page that is read nor in the search yet.
    with pytest.raises(Unavailable) as unsure:
        await stripe.provider.find_payment(asked.payment_id, since)
    assert unsure.value.code == "too_many_payments"
    await stripe.advance(timedelta(minutes=2))
    assert await stripe.provider.find_payment(asked.payment_id, since) == charged
    with pytest.raises(Unavailable):
        await stripe.provider.find_payment(new_id("pay"), since)
    # What the page does not reach is older than an hour, and so in the search if it is anywhere.
    await stripe.advance(timedelta(hours=2))
    await stripe.provider.charge(charge_of(method))
    assert await stripe.provider.find_payment(new_id("pay"), since) is None


async def test_of_two_payments_under_one_id_the_paid_one_is_first(stripe: StripeSimulator) -> None:
    request = checkout_of()
    first = await stripe.provider.create_checkout(request)
    twin = await stripe.post(f"payments/{stripe.in_the_bank(first.ref.provider_payment_id)}/twin", {})
    assert first.checkout_url
    await stripe.pay(first.checkout_url)
    found = await stripe.provider.find_payment(request.payment_id, await stripe.now() - BEGINNING)
    assert found
    assert found.ref.provider_payment_id == first.ref.provider_payment_id
    [other] = found.others
    assert stripe.in_the_bank(other.ref.provider_payment_id) == twin["id"]


async def test_a_page_is_listed_once(stripe: StripeSimulator) -> None:
    await stripe.advance(timedelta(seconds=2))
    since = (await stripe.now()).replace(microsecond=0)
    page = await paid(stripe, save_method=True)
    assert page.saved_method
    charged = await stripe.provider.charge(charge_of(page.saved_method))
    await stripe.advance(timedelta(seconds=2))
    listed = [it async for it in stripe.provider.list_payments(since, await stripe.now())]
    assert listed == [page, charged]


async def test_a_charge_in_kuwaiti_dinars_and_one_in_yen(stripe: StripeSimulator) -> None:
    method = await saved_method(stripe)
    for money in (Money(4500, "KWD"), Money(1200, "JPY")):
        assert (await stripe.provider.charge(charge_of(method, amount=money))).captured == money
