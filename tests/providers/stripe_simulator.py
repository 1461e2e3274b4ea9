"""Stripe under test: our client, and the sandbox's face that speaks Stripe's wire format."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from types import MappingProxyType

import httpx

from infra.sandbox.faces.stripe.events import sign
from shared_lib.providers.base import PaymentProvider, PaymentRef, RawWebhook, SavedMethodRef
from shared_lib.providers.stripe.adapter import StripeProvider
from tests.providers.inbox import Delivery
from tests.providers.simulator import ProviderSimulator

_OF_THE_ENGINE = {"cs_test_": "sp_", "pi_": "sp_", "re_": "sr_", "pm_": "sm_"}


class StripeSimulator(ProviderSimulator):
    name = "stripe"
    face = "stripe"
    signs = True
    types = MappingProxyType(
        {
            "payment": ("checkout.session.",),
            "payment.succeeded": (
                "checkout.session.completed",
                "checkout.session.async_payment_succeeded",
            ),
            "payment.expired": ("checkout.session.expired",),
            "refund.succeeded": ("refund.created", "refund.updated"),
            "refund.failed": ("refund.failed",),
        }
    )
    payment_types = "checkout.session.*"
    link_life = timedelta(hours=24)
    unknown_method = SavedMethodRef(provider="stripe", method_id="pm_unknown", customer_id="cus_unknown")
    unknown_payment = PaymentRef(provider="stripe", provider_payment_id="cs_test_unknown?x=1#y")
    tampering = MappingProxyType(
        {
            "amount": {"amount": 1},
            "currency": {"currency": "usd"},
            "another_payment": {"metadata": {"payment_id": "pay_other", "order_id": "ord_other"}},
            "no_metadata": {"metadata": {}},
            "captured": {"amount_received": 1},
            "status": {"status": "quantum"},
            "refund_amount": {"amount": 301},
            "refund_currency": {"currency": "usd"},
            "refund_payment": {"payment_intent": "pi_other"},
            "refund_metadata": {"metadata": {"refund_id": "x"}},
        }
    )

    def make(self, url: str, key: str, http: httpx.AsyncClient, timeout: httpx.Timeout) -> PaymentProvider:
        return StripeProvider(
            base_url=f"{url}/stripe",
            secret_key=key,
            webhook_secrets=self._webhook_secrets,
            http=http,
            timeout=timeout,
        )

    def in_the_bank(self, theirs: str) -> str:
        prefix = next(it for it in _OF_THE_ENGINE if theirs.startswith(it))
        return _OF_THE_ENGINE[prefix] + theirs.removeprefix(prefix)

    def signed(self, body: bytes, at: datetime) -> RawWebhook:
        """A webhook with any body, signed as Stripe would."""
        stamp = int(at.timestamp())
        signature = sign(self._webhook_secrets[-1], stamp, body)
        headers = {"stripe-signature": f"t={stamp},v1={signature}"}
        return RawWebhook(headers=headers, body=body, source_ip=None, received_at=at)

    def forged(self, delivery: Delivery) -> list[tuple[dict[str, str], str]]:
        header = delivery.headers["stripe-signature"]
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", header)
        assert found is not None
        stamp, signature = found.groups()
        forgeries = (
            (f"t={stamp},v1={'0' * 64}", "bad_signature"),
            (f"t={stamp}", "bad_signature"),
            (f"t={stamp},v0={signature}", "bad_signature"),
            (f"t={int(stamp) + 1},v1={signature}", "bad_signature"),
            (f"t={stamp},v1={signature.upper()}", "bad_signature"),
            ("", "missing_headers"),
            (f"v1={signature}", "bad_timestamp"),
            (f"t=soon,v1={signature}", "bad_timestamp"),
            (f"t=²,v1={signature}", "bad_timestamp"),
        )
        return [(delivery.headers | {"stripe-signature": text}, code) for text, code in forgeries]
