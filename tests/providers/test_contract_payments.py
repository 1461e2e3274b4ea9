"""The port's promises about taking money. Every provider client runs these against its provider_under_test."""

from __future__ import annotations

import asyncio
import traceback
from datetime import datetime, timedelta

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
    Unavailable,
)
from tests.providers.simulator import (
    PRICE,
    ProviderSimulator,
    charge_of,
    checkout_of,
    paid,
    saved_method,
)

BEGINNING = timedelta(days=400)


async def next_second(provider_under_test: ProviderSimulator) -> datetime:
    """A whole second of the provider's clock that has come and that no payment was made before: some keep no fractions."""
    await provider_under_test.advance(timedelta(seconds=2))
    return (await provider_under_test.now()).replace(microsecond=0)


async def test_the_client_is_a_payment_provider(provider_under_test: ProviderSimulator) -> None:
    assert isinstance(provider_under_test.provider, PaymentProvider)
    assert (
        provider_under_test.provider.capabilities.currencies
        == provider_under_test.provider.capabilities.minimum_minor.keys()
    )


async def test_a_checkout_is_paid_and_webhook_and_fetch_agree(provider_under_test: ProviderSimulator) -> None:
    request = checkout_of()
    opened = await provider_under_test.provider.create_checkout(request)
    assert (opened.state, opened.captured.minor) == (PaymentState.PENDING, 0)
    assert opened.checkout_url
    assert opened.expires_at
    assert opened.expires_at > await provider_under_test.now()

    await provider_under_test.pay(opened.checkout_url)
    fetched = await provider_under_test.provider.complete_checkout(opened.ref, request.idempotency_key)
    assert (fetched.state, fetched.amount, fetched.captured) == (PaymentState.SUCCEEDED, PRICE, PRICE)
    assert (fetched.payment_id, fetched.order_id) == (request.payment_id, request.order_id)

    [delivery] = await provider_under_test.deliveries(request.payment_id, "payment.succeeded")
    event = await provider_under_test.told(delivery)
    assert (event.kind, event.payment) == (EventKind.PAYMENT, fetched)


async def test_the_saved_method_comes_back_and_pays_a_renewal(provider_under_test: ProviderSimulator) -> None:
    payment = await paid(provider_under_test, save_method=True)
    assert payment.saved_method
    assert (payment.saved_method.brand, payment.saved_method.last4) == ("visa", "4242")

    request = charge_of(payment.saved_method)
    renewed = await provider_under_test.provider.charge(request)
    assert (renewed.state, renewed.captured) == (PaymentState.SUCCEEDED, PRICE)
    assert (renewed.payment_id, renewed.order_id) == (request.payment_id, request.order_id)


async def test_a_method_is_not_saved_unless_asked_for(provider_under_test: ProviderSimulator) -> None:
    assert (await paid(provider_under_test)).saved_method is None


async def test_a_trial_verifies_the_card_and_takes_nothing(provider_under_test: ProviderSimulator) -> None:
    nothing = Money(0, "EUR")
    payment = await paid(provider_under_test, amount=nothing, save_method=True)
    assert (payment.state, payment.captured) == (PaymentState.SUCCEEDED, nothing)
    assert payment.saved_method
    assert (await provider_under_test.provider.charge(charge_of(payment.saved_method))).captured == PRICE


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
    provider_under_test: ProviderSimulator, code: str, kind: DeclineKind
) -> None:
    method = await saved_method(provider_under_test)
    await provider_under_test.decline_next(method, code)
    declined = await provider_under_test.provider.charge(charge_of(method))
    assert declined.state is PaymentState.DECLINED
    assert declined.decline
    assert (declined.decline.kind, declined.decline.provider_code) == (kind, provider_under_test.code(code))
    assert declined.captured.minor == 0


async def test_a_decline_is_replayed_under_its_key_and_a_new_key_is_a_new_attempt(
    provider_under_test: ProviderSimulator,
) -> None:
    method = await saved_method(provider_under_test)
    await provider_under_test.decline_next(method, "insufficient_funds")
    request = charge_of(method)
    first, again = (
        await provider_under_test.provider.charge(request),
        await provider_under_test.provider.charge(request),
    )
    assert first == again
    assert first.state is PaymentState.DECLINED
    assert (await provider_under_test.provider.charge(charge_of(method))).state is PaymentState.SUCCEEDED


async def test_the_same_key_twice_is_one_payment(provider_under_test: ProviderSimulator) -> None:
    request = checkout_of()
    first, again = (
        await provider_under_test.provider.create_checkout(request),
        await provider_under_test.provider.create_checkout(request),
    )
    assert first.ref == again.ref


async def test_the_same_key_at_the_same_time_is_one_payment(provider_under_test: ProviderSimulator) -> None:
    request = charge_of(await saved_method(provider_under_test))
    await provider_under_test.trouble("slow", request.payment_id, ms=300)
    said = await asyncio.gather(
        *(provider_under_test.provider.charge(request) for _ in range(4)), return_exceptions=True
    )
    refs = {it.ref for it in said if not isinstance(it, BaseException)}
    assert len(refs) == 1
    refused = [it for it in said if isinstance(it, BaseException)]
    assert {type(it) for it in refused} <= {KeyInUse, OutcomeUnknown}, "the same key is sent again later"
    assert (await provider_under_test.provider.charge(request)).ref in refs


async def test_the_same_key_with_another_body_is_refused(provider_under_test: ProviderSimulator) -> None:
    request = charge_of(await saved_method(provider_under_test))
    await provider_under_test.provider.charge(request)
    other = charge_of(request.method, request.payment_id, Money(1300, "EUR"))
    with pytest.raises(IdempotencyMismatch):
        await provider_under_test.provider.charge(other)


@pytest.mark.parametrize("kind", ["drop_after", "timeout_after", "garbled"])
async def test_an_answer_lost_after_execution_is_unknown_and_the_same_key_finds_one_payment(
    provider_under_test: ProviderSimulator, kind: str
) -> None:
    request = charge_of(await saved_method(provider_under_test))
    await provider_under_test.trouble(kind, request.payment_id, seconds=1.0)
    with pytest.raises(OutcomeUnknown) as unknown:
        await provider_under_test.hasty().charge(request)
    assert unknown.value.may_have_executed
    found = await provider_under_test.provider.find_payment(
        request.payment_id, await provider_under_test.now() - BEGINNING
    )
    assert found
    assert await provider_under_test.provider.charge(request) == found


@pytest.mark.parametrize("kind", ["drop_before", "timeout_before", "error_before"])
async def test_a_call_that_was_not_executed_looks_unknown_too_and_is_surely_not_found(
    provider_under_test: ProviderSimulator, kind: str
) -> None:
    request = charge_of(await saved_method(provider_under_test))
    await provider_under_test.trouble(kind, request.payment_id, seconds=1.0)
    with pytest.raises(OutcomeUnknown):
        await provider_under_test.hasty().charge(request)
    assert (
        await provider_under_test.provider.find_payment(
            request.payment_id, await provider_under_test.now() - BEGINNING
        )
        is None
    )
    assert (await provider_under_test.provider.charge(request)).state is PaymentState.SUCCEEDED


async def test_a_stored_500_stays_unknown_under_its_key_and_a_search_tells_the_truth(
    provider_under_test: ProviderSimulator,
) -> None:
    request = charge_of(await saved_method(provider_under_test))
    await provider_under_test.trouble("error_after", request.payment_id)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await provider_under_test.provider.charge(request)
    found = await provider_under_test.provider.find_payment(
        request.payment_id, await provider_under_test.now() - BEGINNING
    )
    assert found
    assert found.state is PaymentState.SUCCEEDED


async def test_past_the_lifetime_of_the_key_a_search_finds_the_old_payment(
    provider_under_test: ProviderSimulator,
) -> None:
    request = charge_of(await saved_method(provider_under_test))
    first = await provider_under_test.provider.charge(request)
    await provider_under_test.advance(
        provider_under_test.provider.capabilities.idempotency_ttl + timedelta(seconds=1)
    )
    found = await provider_under_test.provider.find_payment(
        request.payment_id, await provider_under_test.now() - BEGINNING
    )
    assert found == first
    assert (await provider_under_test.provider.charge(request)).ref != first.ref, (
        "which is why the search comes first"
    )


@pytest.mark.parametrize("answer", ["amount", "currency", "another_payment", "no_metadata", "captured"])
async def test_an_answer_about_something_else_is_refused(
    provider_under_test: ProviderSimulator, answer: str
) -> None:
    request = charge_of(await saved_method(provider_under_test))
    await provider_under_test.tamper(answer, request.payment_id)
    with pytest.raises(AnswerMismatch) as mismatch:
        await provider_under_test.provider.charge(request)
    assert (mismatch.value.pages, mismatch.value.may_have_executed) == (True, True)


async def test_a_status_of_tomorrow_is_pending(provider_under_test: ProviderSimulator) -> None:
    request = charge_of(await saved_method(provider_under_test))
    await provider_under_test.tamper("status", request.payment_id)
    assert (await provider_under_test.provider.charge(request)).state is PaymentState.PENDING


async def test_our_payment_for_another_order_is_refused(provider_under_test: ProviderSimulator) -> None:
    request = checkout_of()
    other = provider_under_test.other_order(request.payment_id)
    await provider_under_test.trouble("tampered", request.payment_id, set=other)
    with pytest.raises(AnswerMismatch):
        await provider_under_test.provider.create_checkout(request)


async def test_a_search_never_finds_a_payment_with_another_id(provider_under_test: ProviderSimulator) -> None:
    payment, other = await paid(provider_under_test), await paid(provider_under_test)
    for request in (payment, other):
        found = await provider_under_test.provider.find_payment(
            request.payment_id or "", await provider_under_test.now() - BEGINNING
        )
        assert found == request
    assert (
        await provider_under_test.provider.find_payment(
            new_id("pay"), await provider_under_test.now() - BEGINNING
        )
        is None
    )


async def test_canceling_closes_an_open_link_or_says_that_it_is_open(
    provider_under_test: ProviderSimulator,
) -> None:
    opened = await provider_under_test.provider.create_checkout(checkout_of())
    assert opened.checkout_url
    closed = await provider_under_test.provider.cancel_checkout(opened.ref, new_id("pay"))
    if not provider_under_test.closes_links:
        assert closed.state is PaymentState.PENDING, "it is not said to be closed"
        return
    assert closed.state is PaymentState.CANCELED
    await provider_under_test.pay(opened.checkout_url)
    assert (await provider_under_test.provider.fetch_payment(opened.ref)).captured.minor == 0


async def test_canceling_what_is_paid_answers_that_it_is_paid(provider_under_test: ProviderSimulator) -> None:
    payment = await paid(provider_under_test)
    assert await provider_under_test.provider.cancel_checkout(payment.ref, new_id("pay")) == payment


async def test_money_on_its_way_cannot_be_canceled_and_arrives(
    provider_under_test: ProviderSimulator,
) -> None:
    payment = await paid(provider_under_test, "slow")
    assert (
        await provider_under_test.provider.cancel_checkout(payment.ref, new_id("pay"))
    ).state is PaymentState.PENDING
    await provider_under_test.advance(timedelta(minutes=1))
    assert (await provider_under_test.provider.fetch_payment(payment.ref)).state is PaymentState.SUCCEEDED


async def test_a_late_success_after_a_cancel_is_told(provider_under_test: ProviderSimulator) -> None:
    request = checkout_of()
    opened = await provider_under_test.provider.create_checkout(request)
    await provider_under_test.provider.cancel_checkout(opened.ref, request.idempotency_key)
    await provider_under_test.succeed_late(opened.ref)
    [delivery] = await provider_under_test.deliveries(request.payment_id, "payment.succeeded")
    event = await provider_under_test.told(delivery)
    assert event.payment
    assert (event.payment.state, event.payment.captured) == (PaymentState.SUCCEEDED, PRICE)


async def test_an_unpaid_checkout_expires(provider_under_test: ProviderSimulator) -> None:
    life = provider_under_test.link_life or timedelta(minutes=30)
    request = checkout_of(expires_in=timedelta(minutes=30))
    opened = await provider_under_test.provider.create_checkout(request)
    assert opened.expires_at
    assert opened.expires_at <= await provider_under_test.now() + life
    await provider_under_test.advance(life + timedelta(minutes=1))
    assert (await provider_under_test.provider.fetch_payment(opened.ref)).state is PaymentState.EXPIRED
    await provider_under_test.deliveries(request.payment_id, "payment.expired")


async def test_list_pages_cover_a_window_exactly_once(provider_under_test: ProviderSimulator) -> None:
    method = await saved_method(provider_under_test)
    since = await next_second(provider_under_test)
    made = [await provider_under_test.provider.charge(charge_of(method)) for _ in range(205)]
    until = await next_second(provider_under_test)
    seen: list[PaymentRef] = []
    async for payment in provider_under_test.provider.list_payments(since, until):
        if len(seen) == 50:
            await provider_under_test.provider.charge(
                charge_of(method)
            )  # a customer pays while we turn pages
        seen.append(payment.ref)
    assert len(seen) == len(set(seen))
    assert set(seen) == {it.ref for it in made}


async def test_a_forgotten_method_is_never_charged_again_and_is_forgotten_twice(
    provider_under_test: ProviderSimulator,
) -> None:
    method = await saved_method(provider_under_test)
    await provider_under_test.provider.forget_method(method)
    await provider_under_test.provider.forget_method(method)
    await provider_under_test.provider.forget_method(provider_under_test.unknown_method)
    if not provider_under_test.detaches:
        return  # we forget it: it is not named to the provider again
    try:
        declined = await provider_under_test.provider.charge(charge_of(method))
    except NotFound:
        return  # there is no such method any more: that is as final
    assert declined.decline
    assert declined.decline.kind is DeclineKind.HARD


# ---- errors ------------------------------------------------------------------------------------------------


async def test_nobody_reached_is_unavailable_and_surely_not_executed(
    provider_under_test: ProviderSimulator,
) -> None:
    with pytest.raises(Unavailable) as error:
        await provider_under_test.unreachable().create_checkout(checkout_of())
    assert (error.value.retry_same_key, error.value.may_have_executed) == (True, False)


async def test_too_many_calls_says_when_to_come_back(provider_under_test: ProviderSimulator) -> None:
    request = checkout_of()
    await provider_under_test.trouble("rate_limited", request.payment_id, retry_after_s=7)
    with pytest.raises(RateLimited) as error:
        await provider_under_test.provider.create_checkout(request)
    assert error.value.retry_after == timedelta(seconds=7)
    assert (await provider_under_test.provider.create_checkout(request)).payment_id == request.payment_id


async def test_a_wrong_key_is_bad_credentials(provider_under_test: ProviderSimulator) -> None:
    with pytest.raises(BadCredentials):
        await provider_under_test.wrong_key().create_checkout(checkout_of())


async def test_an_amount_below_the_minimum_is_our_bug(provider_under_test: ProviderSimulator) -> None:
    with pytest.raises(InvalidRequest):
        await provider_under_test.provider.create_checkout(checkout_of(amount=Money(1, "EUR")))


async def test_a_payment_nobody_knows_is_not_found(provider_under_test: ProviderSimulator) -> None:
    with pytest.raises(NotFound):
        await provider_under_test.provider.fetch_payment(provider_under_test.unknown_payment)


async def test_a_read_that_brings_nothing_is_unavailable(provider_under_test: ProviderSimulator) -> None:
    payment = await paid(provider_under_test)
    for kind in ("error_before", "drop_before", "garbled"):
        await provider_under_test.trouble(kind, operation="payment.get")
        with pytest.raises(Unavailable):
            await provider_under_test.provider.fetch_payment(payment.ref)


def in_frames(error: BaseException) -> list[str]:
    """What a report of the error could show: the variables of each frame of ours that it went through."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if "/shared_lib/" in frame.f_code.co_filename]
    assert ours
    return [repr(value) for frame in ours for value in frame.f_locals.values()]


async def test_secrets_are_in_no_repr_in_no_exception_and_in_no_frame(
    provider_under_test: ProviderSimulator,
) -> None:
    shown = [
        repr(provider_under_test.provider),
        repr(vars(provider_under_test.provider)),
        str(provider_under_test.provider),
    ]
    method = provider_under_test.unknown_method
    for provider, kind in (
        (provider_under_test.wrong_key(), None),
        (provider_under_test.provider, "drop_after"),
        (provider_under_test.unreachable(), None),
    ):
        request = charge_of(method)
        if kind:
            await provider_under_test.trouble(kind, request.payment_id)
        with pytest.raises(ProviderError) as error:
            await provider.charge(request)
        shown += [repr(error.value), repr(vars(error.value)), repr(provider), *in_frames(error.value)]
        assert error.value.__context__ is None, (
            "the client library's error holds the request, and that the key"
        )
    assert not [
        secret for secret in (*provider_under_test.secrets, "sk_sandbox") for text in shown if secret in text
    ]
