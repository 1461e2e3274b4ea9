"""Stripe's official SDK, unmodified, drives the sandbox's face, and agrees with our verifier about webhooks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import stripe as sdk

from infra.sandbox.faces.stripe.events import sign
from infra.sandbox.launch import SandboxHandle
from shared_lib.ids import new_id
from shared_lib.providers.base import PaymentState
from shared_lib.providers.stripe.capabilities import API_VERSION
from shared_lib.providers.stripe.webhooks import Verifier
from shared_lib.standard_webhook import NotAuthentic
from tests.providers.simulator import PRICE, charge_of, paid, saved_method
from tests.providers.stripe_simulator import StripeSimulator

SECRETS = ("whsec_" + "a" * 32, "whsec_" + "b" * 32)


@pytest.fixture
def client(sandbox: SandboxHandle) -> sdk.StripeClient:
    return sdk.StripeClient(
        sandbox.api_key, base_addresses={"api": f"{sandbox.url}/stripe"}, max_network_retries=0
    )


def test_our_client_speaks_the_version_of_the_sdk() -> None:
    assert sdk.api_version == API_VERSION


def opened(client: sdk.StripeClient, key: str, *, amount: int = 1299) -> sdk.checkout.Session:
    return client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "eur",
                        "unit_amount": amount,
                        "product_data": {"name": "Alien"},
                    },
                }
            ],
            "success_url": "https://cinema.example/paid?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://cinema.example/cart",
            "metadata": {"payment_id": key},
            "payment_intent_data": {"metadata": {"payment_id": key}, "setup_future_usage": "off_session"},
            "customer_creation": "always",
        },
        {"idempotency_key": key},
    )


async def test_the_sdk_opens_reads_lists_and_refunds_what_our_client_sees_too(
    client: sdk.StripeClient, stripe: StripeSimulator
) -> None:
    key = new_id("pay")
    session = opened(client, key)
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert session.url
    answer = await stripe.pay(session.url)
    assert answer.headers["location"] == f"https://cinema.example/paid?session={session.id}"

    session = client.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["payment_intent.payment_method", "payment_intent.latest_charge"]}
    )
    intent = session.payment_intent
    assert isinstance(intent, sdk.PaymentIntent)
    assert (session.payment_status, intent.status, intent.amount_received) == ("paid", "succeeded", 1299)
    assert isinstance(intent.latest_charge, sdk.Charge)
    assert isinstance(intent.payment_method, sdk.PaymentMethod)
    assert intent.payment_method.card
    assert intent.payment_method.card.last4 == "4242"

    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 300, "reason": "duplicate"})
    assert (refund.status, refund.amount) == ("succeeded", 300)
    assert client.v1.refunds.retrieve(refund.id).id == refund.id
    assert [it.id for it in client.v1.refunds.list({"payment_intent": intent.id}).data] == [refund.id]
    newest = client.v1.payment_intents.list({"limit": 1, "created": {"gte": intent.created}}).data
    assert [it.id for it in newest] == [intent.id]
    events = client.v1.events.list()
    assert {"checkout.session.completed", "charge.refunded"} <= {it.type for it in events.data}

    found = await stripe.provider.find_payment(key, datetime.fromtimestamp(session.created, UTC))
    assert found
    assert (found.state, found.captured, found.refunded.minor) == (PaymentState.SUCCEEDED, PRICE, 300)
    assert found.ref.capture_id == intent.id


async def test_the_sdk_turns_pages(client: sdk.StripeClient, stripe: StripeSimulator) -> None:
    method = await saved_method(stripe)
    made = [(await stripe.provider.charge(charge_of(method))).ref.provider_payment_id for _ in range(7)]
    pages = client.v1.payment_intents.list({"limit": 3}).auto_paging_iter()
    assert [next(pages).id for _ in made] == made[::-1]


async def test_the_sdk_charges_a_saved_card_and_meets_a_decline(
    client: sdk.StripeClient, stripe: StripeSimulator
) -> None:
    method = await saved_method(stripe)
    assert method.customer_id

    def charge(key: str) -> sdk.PaymentIntent:
        return client.v1.payment_intents.create(
            {
                "amount": 500,
                "currency": "eur",
                "customer": method.customer_id or "",
                "payment_method": method.method_id,
                "off_session": True,
                "confirm": True,
                "expand": ["latest_charge"],
            },
            {"idempotency_key": key},
        )

    assert charge("sdk-" + new_id("pay")).status == "succeeded"
    await stripe.decline_next(method, "insufficient_funds")
    key = "sdk-" + new_id("pay")
    for _ in range(2):  # the second one is replayed
        with pytest.raises(sdk.CardError) as declined:
            charge(key)
        assert declined.value.code == "card_declined"
        assert declined.value.error
        assert declined.value.error.decline_code == "insufficient_funds"
        assert declined.value.error.payment_intent
        assert declined.value.error.payment_intent.status == "requires_payment_method"

    client.v1.payment_methods.detach(method.method_id)
    with pytest.raises(sdk.InvalidRequestError) as gone:
        charge("sdk-" + new_id("pay"))
    assert (gone.value.code, gone.value.param) == ("resource_missing", "payment_method")


async def test_the_sdk_meets_the_refusals_of_the_real_one(
    client: sdk.StripeClient, stripe: StripeSimulator, sandbox: SandboxHandle
) -> None:
    key = new_id("pay")
    session = opened(client, key)
    assert opened(client, key).id == session.id
    with pytest.raises(sdk.IdempotencyError):
        opened(client, key, amount=1300)
    with pytest.raises(sdk.InvalidRequestError) as small:
        opened(client, new_id("pay"), amount=1)
    assert small.value.code == "amount_too_small"
    with pytest.raises(sdk.InvalidRequestError) as unknown:
        client.v1.payment_intents.retrieve("pi_unknown")
    assert (unknown.value.http_status, unknown.value.code) == (404, "resource_missing")

    assert client.v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(sdk.InvalidRequestError):
        client.v1.checkout.sessions.expire(session.id)

    payment = await paid(stripe)
    with pytest.raises(sdk.InvalidRequestError) as over:
        client.v1.refunds.create({"payment_intent": payment.ref.capture_id or "", "amount": 1300})
    assert over.value.param == "amount"
    await stripe.trouble("rate_limited", operation="payment.get")
    with pytest.raises(sdk.RateLimitError):
        client.v1.checkout.sessions.retrieve(session.id)
    stranger = sdk.StripeClient("sk_test_other", base_addresses={"api": f"{sandbox.url}/stripe"})
    with pytest.raises(sdk.AuthenticationError):
        stranger.v1.refunds.list()


async def test_the_sdk_takes_our_webhooks(client: sdk.StripeClient, stripe: StripeSimulator) -> None:
    payment = await paid(stripe)
    [delivery] = await stripe.deliveries(payment.payment_id or "", "payment.succeeded")
    event = client.construct_event(
        delivery.body, delivery.headers["stripe-signature"], stripe.secrets[2], tolerance=10**9
    )
    assert event.type == "checkout.session.completed"
    assert event.data.object["id"] == payment.ref.provider_payment_id
    assert event.api_version == API_VERSION


def test_our_verifier_agrees_with_the_sdk_on_mutated_webhooks_and_refuses_the_future(
    client: sdk.StripeClient,
) -> None:
    chance, verifier = random.Random(20261129), Verifier(SECRETS)
    body = json.dumps(
        {"id": "evt_1", "object": "event", "type": "refund.failed", "data": {"object": {}}}
    ).encode()
    accepted = future = 0
    for _ in range(1000):
        stamp = int(datetime.now(UTC).timestamp()) + chance.choice((0, 0, 0, -290, -400, 290, 400, 3600))
        signatures = [sign(secret, stamp, body) for secret in SECRETS]
        header = f"t={stamp},v1=" + chance.choice((signatures[0], signatures[1], ",v1=".join(signatures)))
        header, sent = chance.choice(MUTATIONS)(chance, header, body)
        theirs = any(taken_by_sdk(client, sent, header, secret) for secret in SECRETS)
        ours = taken_by_us(verifier, sent, header)
        if theirs and not ours:
            # The SDK asks for no more than that a signature is not old.
            assert int(header.partition("t=")[2].split(",")[0]) > datetime.now(UTC).timestamp() + 298
            future += 1
        else:
            assert ours == theirs, (header, sent)
        accepted += ours
    assert accepted > 100
    assert future > 50


Mutation = Callable[[random.Random, str, bytes], tuple[str, bytes]]


def _another_character(chance: random.Random, header: str, body: bytes) -> tuple[str, bytes]:
    place = chance.randrange(len(header))
    return header[:place] + chance.choice("0123456789abcdefv=,tTxZ-") + header[place + 1 :], body


def _a_character_less(chance: random.Random, header: str, body: bytes) -> tuple[str, bytes]:
    place = chance.randrange(len(header))
    return header[:place] + header[place + 1 :], body


def _another_byte(chance: random.Random, header: str, body: bytes) -> tuple[str, bytes]:
    place = chance.randrange(len(body))
    return header, body[:place] + bytes([chance.randrange(32, 127)]) + body[place + 1 :]


def _more_bytes(chance: random.Random, header: str, body: bytes) -> tuple[str, bytes]:
    return header, chance.choice((body + b" ", b"\n" + body, body + b"{}", body[:-1]))


def _other_order(chance: random.Random, header: str, body: bytes) -> tuple[str, bytes]:
    parts = [*header.split(","), chance.choice(("v0=00", "v1=00", "x", "t=1", "v1", ""))]
    chance.shuffle(parts)
    return ",".join(parts), body


MUTATIONS: tuple[Mutation, ...] = (
    lambda _, header, body: (header, body),
    lambda _, header, body: (header.replace("v1=", "v0="), body),
    lambda _, header, body: (header.upper(), body),
    _another_character,
    _a_character_less,
    _another_byte,
    _more_bytes,
    _other_order,
)


def taken_by_sdk(client: sdk.StripeClient, body: bytes, header: str, secret: str) -> bool:
    try:
        client.construct_event(body, header, secret)
    except (sdk.SignatureVerificationError, ValueError, IndexError):
        return False
    return True


def taken_by_us(verifier: Verifier, body: bytes, header: str) -> bool:
    try:
        verifier.check(header, body, datetime.now(UTC))
        json.loads(body)
    except (NotAuthentic, ValueError):
        return False
    return True
