"""The port's promises about taking money. Every provider client runs these against its simulator."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared_lib.ids import new_id
from shared_lib.providers.base import (
    AnswerMismatch,
    BadCredentials,
    DeclineKind,
    EventKind,
    IdempotencyMismatch,
    InvalidRequest,
    KeyInUse,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentProvider,
    PaymentRef,
    PaymentState,
    ProviderError,
    RateLimited,
    SavedMethodRef,
    Unavailable,
)
from tests.providers.simulator import (
    PRICE,
    ProviderSimulator,
    charge_of,
    checkout_of,
    paid,
    raw,
    saved_method,
)

BEGINNING = timedelta(days=400)


def test_the_client_is_a_payment_provider(simulator: ProviderSimulator) -> None:
    assert isinstance(simulator.provider, PaymentProvider)
    assert simulator.provider.capabilities.currencies == simulator.provider.capabilities.minimum_minor.keys()


async def test_a_checkout_is_paid_and_webhook_and_fetch_agree(simulator: ProviderSimulator) -> None:
    request = checkout_of()
    opened = await simulator.provider.create_checkout(request)
    assert (opened.state, opened.captured.minor) == (PaymentState.PENDING, 0)
    assert opened.checkout_url
    assert opened.expires_at
    assert opened.expires_at > await simulator.now()

    await simulator.pay(opened.checkout_url)
    fetched = await simulator.provider.complete_checkout(opened.ref, request.idempotency_key)
    assert (fetched.state, fetched.amount, fetched.captured) == (PaymentState.SUCCEEDED, PRICE, PRICE)
    assert (fetched.payment_id, fetched.order_id) == (request.payment_id, request.order_id)

    [delivery] = await simulator.inbox.wait(request.payment_id, "payment.succeeded")
    [event] = await simulator.provider.parse_webhook(await raw(simulator, delivery))
    assert (event.kind, event.payment) == (EventKind.PAYMENT, fetched)


async def test_the_saved_method_comes_back_and_pays_a_renewal(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator, save_method=True)
    assert payment.saved_method
    assert (payment.saved_method.brand, payment.saved_method.last4) == ("visa", "4242")

    request = charge_of(payment.saved_method)
    renewed = await simulator.provider.charge(request)
    assert (renewed.state, renewed.captured) == (PaymentState.SUCCEEDED, PRICE)
    assert (renewed.payment_id, renewed.order_id) == (request.payment_id, request.order_id)


async def test_a_method_is_not_saved_unless_asked_for(simulator: ProviderSimulator) -> None:
    assert (await paid(simulator)).saved_method is None


async def test_a_trial_verifies_the_card_and_takes_nothing(simulator: ProviderSimulator) -> None:
    nothing = Money(0, "EUR")
    payment = await paid(simulator, amount=nothing, save_method=True)
    assert (payment.state, payment.captured) == (PaymentState.SUCCEEDED, nothing)
    assert payment.saved_method
    assert (await simulator.provider.charge(charge_of(payment.saved_method))).captured == PRICE


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("do_not_honor", DeclineKind.SOFT),
        ("insufficient_funds", DeclineKind.SOFT),
        ("stolen_card", DeclineKind.HARD),
        ("expired_card", DeclineKind.HARD),
        ("authentication_required", DeclineKind.ACTION_REQUIRED),
        ("a_code_of_tomorrow", DeclineKind.SOFT),
    ],
)
async def test_a_decline_is_a_value_of_its_kind(
    simulator: ProviderSimulator, code: str, kind: DeclineKind
) -> None:
    method = await saved_method(simulator)
    await simulator.decline_next(method, code)
    declined = await simulator.provider.charge(charge_of(method))
    assert declined.state is PaymentState.DECLINED
    assert declined.decline
    assert (declined.decline.kind, declined.decline.provider_code) == (kind, code)
    assert declined.captured.minor == 0


async def test_a_decline_is_replayed_under_its_key_and_a_new_key_is_a_new_attempt(
    simulator: ProviderSimulator,
) -> None:
    method = await saved_method(simulator)
    await simulator.decline_next(method, "insufficient_funds")
    request = charge_of(method)
    first, again = await simulator.provider.charge(request), await simulator.provider.charge(request)
    assert first == again
    assert first.state is PaymentState.DECLINED
    assert (await simulator.provider.charge(charge_of(method))).state is PaymentState.SUCCEEDED


async def test_the_same_key_twice_is_one_payment(simulator: ProviderSimulator) -> None:
    request = checkout_of()
    first, again = (
        await simulator.provider.create_checkout(request),
        await simulator.provider.create_checkout(request),
    )
    assert first.ref == again.ref


async def test_the_same_key_at_the_same_time_is_one_payment(simulator: ProviderSimulator) -> None:
    request = charge_of(await saved_method(simulator))
    await simulator.trouble("slow", request.payment_id, ms=300)
    said = await asyncio.gather(
        *(simulator.provider.charge(request) for _ in range(4)), return_exceptions=True
    )
    refs = {it.ref for it in said if not isinstance(it, BaseException)}
    assert len(refs) == 1
    assert {type(it) for it in said if isinstance(it, BaseException)} <= {KeyInUse}
    assert (await simulator.provider.charge(request)).ref in refs


async def test_the_same_key_with_another_body_is_refused(simulator: ProviderSimulator) -> None:
    request = charge_of(await saved_method(simulator))
    await simulator.provider.charge(request)
    other = charge_of(request.method, request.payment_id, Money(1300, "EUR"))
    with pytest.raises(IdempotencyMismatch):
        await simulator.provider.charge(other)


@pytest.mark.parametrize("kind", ["drop_after", "timeout_after", "garbled"])
async def test_an_answer_lost_after_execution_is_unknown_and_the_same_key_finds_one_payment(
    simulator: ProviderSimulator, kind: str
) -> None:
    request = charge_of(await saved_method(simulator))
    await simulator.trouble(kind, request.payment_id, seconds=1.0)
    with pytest.raises(OutcomeUnknown) as unknown:
        await simulator.hasty().charge(request)
    assert unknown.value.may_have_executed
    found = await simulator.provider.find_payment(request.payment_id, await simulator.now() - BEGINNING)
    assert found
    assert await simulator.provider.charge(request) == found


@pytest.mark.parametrize("kind", ["drop_before", "timeout_before", "error_before"])
async def test_a_call_that_was_not_executed_looks_unknown_too_and_is_surely_not_found(
    simulator: ProviderSimulator, kind: str
) -> None:
    request = charge_of(await saved_method(simulator))
    await simulator.trouble(kind, request.payment_id, seconds=1.0)
    with pytest.raises(OutcomeUnknown):
        await simulator.hasty().charge(request)
    assert (
        await simulator.provider.find_payment(request.payment_id, await simulator.now() - BEGINNING) is None
    )
    assert (await simulator.provider.charge(request)).state is PaymentState.SUCCEEDED


async def test_a_stored_500_stays_unknown_under_its_key_and_a_search_tells_the_truth(
    simulator: ProviderSimulator,
) -> None:
    request = charge_of(await saved_method(simulator))
    await simulator.trouble("error_after", request.payment_id)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await simulator.provider.charge(request)
    found = await simulator.provider.find_payment(request.payment_id, await simulator.now() - BEGINNING)
    assert found
    assert found.state is PaymentState.SUCCEEDED


async def test_past_the_lifetime_of_the_key_a_search_finds_the_old_payment(
    simulator: ProviderSimulator,
) -> None:
    request = charge_of(await saved_method(simulator))
    first = await simulator.provider.charge(request)
    await simulator.advance(simulator.provider.capabilities.idempotency_ttl + timedelta(seconds=1))
    found = await simulator.provider.find_payment(request.payment_id, await simulator.now() - BEGINNING)
    assert found == first
    assert (await simulator.provider.charge(request)).ref != first.ref, "which is why the search comes first"


@pytest.mark.parametrize(
    "answer",
    [
        {"amount_minor": 1},
        {"currency": "USD"},
        {"metadata": {"payment_id": "pay_other", "order_id": "ord_other"}},
        {"metadata": {}},
        {"captured_minor": 1},
    ],
)
async def test_an_answer_about_something_else_is_refused(
    simulator: ProviderSimulator, answer: dict[str, object]
) -> None:
    request = charge_of(await saved_method(simulator))
    await simulator.trouble("tampered", request.payment_id, set=answer)
    with pytest.raises(AnswerMismatch) as mismatch:
        await simulator.provider.charge(request)
    assert (mismatch.value.pages, mismatch.value.may_have_executed) == (True, True)


async def test_a_status_of_tomorrow_is_pending(simulator: ProviderSimulator) -> None:
    request = charge_of(await saved_method(simulator))
    await simulator.trouble("tampered", request.payment_id, set={"status": "quantum"})
    assert (await simulator.provider.charge(request)).state is PaymentState.PENDING


async def test_our_payment_for_another_order_is_refused(simulator: ProviderSimulator) -> None:
    request = checkout_of()
    other = {"payment_id": request.payment_id, "order_id": "ord_other"}
    await simulator.trouble("tampered", request.payment_id, set={"metadata": other})
    with pytest.raises(AnswerMismatch):
        await simulator.provider.create_checkout(request)


async def test_a_search_that_answers_another_payment_is_refused(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    other = [
        {
            "id": payment.ref.provider_payment_id,
            "status": payment.state,
            "amount_minor": payment.amount.minor,
            "captured_minor": payment.captured.minor,
            "refunded_minor": payment.refunded.minor,
            "currency": payment.amount.currency,
            "metadata": {"payment_id": "pay_other"},
        }
    ]
    await simulator.trouble("tampered", operation="payment.list", set={"data": other})
    with pytest.raises(AnswerMismatch):
        await simulator.provider.find_payment(payment.payment_id or "", await simulator.now() - BEGINNING)


async def test_canceling_closes_an_open_link(simulator: ProviderSimulator) -> None:
    opened = await simulator.provider.create_checkout(checkout_of())
    assert opened.checkout_url
    assert (
        await simulator.provider.cancel_checkout(opened.ref, new_id("pay"))
    ).state is PaymentState.CANCELED
    await simulator.pay(opened.checkout_url)
    assert (await simulator.provider.fetch_payment(opened.ref)).captured.minor == 0


async def test_canceling_what_is_paid_answers_that_it_is_paid(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    assert await simulator.provider.cancel_checkout(payment.ref, new_id("pay")) == payment


async def test_money_on_its_way_cannot_be_canceled_and_arrives(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator, "slow")
    assert (
        await simulator.provider.cancel_checkout(payment.ref, new_id("pay"))
    ).state is PaymentState.PENDING
    await simulator.advance(timedelta(minutes=1))
    assert (await simulator.provider.fetch_payment(payment.ref)).state is PaymentState.SUCCEEDED


async def test_a_late_success_after_a_cancel_is_told(simulator: ProviderSimulator) -> None:
    request = checkout_of()
    opened = await simulator.provider.create_checkout(request)
    await simulator.provider.cancel_checkout(opened.ref, request.idempotency_key)
    await simulator.succeed_late(opened.ref)
    [delivery] = await simulator.inbox.wait(request.payment_id, "payment.succeeded")
    [event] = await simulator.provider.parse_webhook(await raw(simulator, delivery))
    assert event.payment
    assert (event.payment.state, event.payment.captured) == (PaymentState.SUCCEEDED, PRICE)


async def test_an_unpaid_checkout_expires(simulator: ProviderSimulator) -> None:
    request = checkout_of(expires_in=timedelta(minutes=30))
    opened = await simulator.provider.create_checkout(request)
    await simulator.advance(timedelta(minutes=31))
    assert (await simulator.provider.fetch_payment(opened.ref)).state is PaymentState.EXPIRED
    await simulator.inbox.wait(request.payment_id, "payment.expired")


async def test_list_pages_cover_a_window_exactly_once(simulator: ProviderSimulator) -> None:
    method = await saved_method(simulator)
    await simulator.advance(timedelta(seconds=2))
    since = await simulator.now()
    made = [await simulator.provider.charge(charge_of(method)) for _ in range(205)]
    until = await simulator.now()
    seen: list[PaymentRef] = []
    async for payment in simulator.provider.list_payments(since, until):
        if len(seen) == 50:
            await simulator.provider.charge(charge_of(method))  # a customer pays while we turn pages
        seen.append(payment.ref)
    assert len(seen) == len(set(seen))
    assert set(seen) == {it.ref for it in made}


async def test_a_forgotten_method_is_a_hard_decline_and_is_forgotten_twice(
    simulator: ProviderSimulator,
) -> None:
    method = await saved_method(simulator)
    await simulator.provider.forget_method(method)
    await simulator.provider.forget_method(method)
    await simulator.provider.forget_method(SavedMethodRef(provider="sandbox", method_id="sm_nobody"))
    declined = await simulator.provider.charge(charge_of(method))
    assert declined.decline
    assert declined.decline.kind is DeclineKind.HARD


# ---- errors ------------------------------------------------------------------------------------------------


async def test_nobody_reached_is_unavailable_and_surely_not_executed(simulator: ProviderSimulator) -> None:
    with pytest.raises(Unavailable) as error:
        await simulator.unreachable().create_checkout(checkout_of())
    assert (error.value.retry_same_key, error.value.may_have_executed) == (True, False)


async def test_too_many_calls_says_when_to_come_back(simulator: ProviderSimulator) -> None:
    request = checkout_of()
    await simulator.trouble("rate_limited", request.payment_id, retry_after_s=7)
    with pytest.raises(RateLimited) as error:
        await simulator.provider.create_checkout(request)
    assert error.value.retry_after == timedelta(seconds=7)
    assert (await simulator.provider.create_checkout(request)).payment_id == request.payment_id


async def test_a_wrong_key_is_bad_credentials(simulator: ProviderSimulator) -> None:
    with pytest.raises(BadCredentials):
        await simulator.wrong_key().create_checkout(checkout_of())


async def test_an_amount_below_the_minimum_is_our_bug(simulator: ProviderSimulator) -> None:
    with pytest.raises(InvalidRequest):
        await simulator.provider.create_checkout(checkout_of(amount=Money(1, "EUR")))


async def test_a_payment_nobody_knows_is_not_found(simulator: ProviderSimulator) -> None:
    with pytest.raises(NotFound):
        await simulator.provider.fetch_payment(
            PaymentRef(provider="sandbox", provider_payment_id="sp_nobody/../x")
        )


async def test_a_read_that_brings_nothing_is_unavailable(simulator: ProviderSimulator) -> None:
    payment = await paid(simulator)
    for kind in ("error_before", "drop_before", "garbled"):
        await simulator.trouble(kind, operation="payment.get")
        with pytest.raises(Unavailable):
            await simulator.provider.fetch_payment(payment.ref)


async def test_secrets_are_in_no_repr_and_in_no_exception(simulator: ProviderSimulator) -> None:
    shown = [repr(simulator.provider), repr(vars(simulator.provider)), str(simulator.provider)]
    method = SavedMethodRef(provider="sandbox", method_id="sm_nobody")
    for provider, kind in (
        (simulator.wrong_key(), None),
        (simulator.provider, "drop_after"),
        (simulator.unreachable(), None),
    ):
        request = charge_of(method)
        if kind:
            await simulator.trouble(kind, request.payment_id)
        with pytest.raises(ProviderError) as error:
            await provider.charge(request)
        shown += [repr(error.value), repr(vars(error.value)), repr(provider)]
        assert error.value.__context__ is None, (
            "the client library's error holds the request, and that the key"
        )
    assert not [secret for secret in (*simulator.secrets, "sk_sandbox") for text in shown if secret in text]
