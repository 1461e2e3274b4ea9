"""YooKassa's side of the conformance kit: its face of the sandbox."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from ipaddress import ip_network
from types import MappingProxyType

import httpx

from infra.sandbox.faces.yookassa.ids import FACE, SECRET_KEY_PREFIX, SHOP_ID, engine_id
from infra.sandbox.launch import SandboxHandle
from shared_lib.providers.base import PaymentProvider, PaymentRef, SavedMethodRef
from shared_lib.providers.yookassa.adapter import YooKassaProvider
from shared_lib.providers.yookassa.receipts import ReceiptRules
from tests.providers.inbox import Delivery, Inbox
from tests.providers.simulator import ProviderSimulator

LOOPBACK = (ip_network("127.0.0.0/8"),)
RECEIPTS = ReceiptRules(vat_code=4, email="receipts@cinema.example")
UNKNOWN = "00000000-000f-5000-0000-000000000000"


class YooKassaSimulator(ProviderSimulator):
    """Its webhooks are hints about final states; its links live for an hour; it deletes no saved method."""

    name = "yookassa"
    face = FACE
    signs = False
    types = MappingProxyType(
        {
            "payment": ("payment.",),
            "payment.succeeded": ("payment.succeeded",),
            "payment.expired": ("payment.canceled",),
            "refund.succeeded": ("refund.succeeded",),
        }
    )
    payment_types = "payment.*"
    tells_pending = False
    closes_links = False
    link_life = timedelta(hours=1)
    detaches = False
    refund_failure = "general_decline"
    unknown_method = SavedMethodRef(provider="yookassa", method_id=UNKNOWN)
    unknown_payment = PaymentRef(provider="yookassa", provider_payment_id="unknown/../x")
    tampering = MappingProxyType(
        {
            "amount": {"amount": {"value": "0.01", "currency": "EUR"}},
            "currency": {"amount": {"value": "12.99", "currency": "USD"}},
            "another_payment": {"metadata": {"payment_id": "pay_other", "order_id": "ord_other"}},
            "no_metadata": {"metadata": {}},
            "captured": {"amount": {"value": "12.98", "currency": "EUR"}},
            "status": {"status": "quantum"},
            "refund_amount": {"amount": {"value": "3.01", "currency": "EUR"}},
            "refund_currency": {"amount": {"value": "3.00", "currency": "USD"}},
            "refund_payment": {"payment_id": UNKNOWN},
            "refund_metadata": {"metadata": {"refund_id": "x"}},
        }
    )

    def __init__(self, sandbox: SandboxHandle, inbox: Inbox, webhook_secrets: tuple[str, ...]) -> None:
        super().__init__(sandbox, inbox, webhook_secrets)
        self.secret_key = SECRET_KEY_PREFIX + sandbox.api_key
        self.secrets = (*self.secrets, b64encode(f"{SHOP_ID}:{self.secret_key}".encode()).decode())

    def make(self, url: str, key: str, http: httpx.AsyncClient, timeout: httpx.Timeout) -> PaymentProvider:
        return YooKassaProvider(
            shop_id=SHOP_ID,
            secret_key=SECRET_KEY_PREFIX + key,
            currency="EUR",
            receipts=RECEIPTS,
            networks=LOOPBACK,
            base_url=url + "/v3",
            http=http,
            timeout=timeout,
        )

    def in_the_bank(self, theirs: str) -> str:
        """Of a payment. YooKassa's ids do not say what they are of."""
        return engine_id("sp", theirs)

    async def decline_next(self, method: SavedMethodRef, *codes: str | None) -> None:
        await self.post(f"methods/{engine_id('sm', method.method_id)}/next", {"codes": codes})

    async def fail_refund(self, provider_refund_id: str) -> None:
        await self.post(f"refunds/{engine_id('sr', provider_refund_id)}/fail", {})

    def code(self, code: str) -> str:
        return {
            "do_not_honor": "general_decline",
            "stolen_card": "payment_method_restricted",
            "expired_card": "card_expired",
            "authentication_required": "3d_secure_failed",
        }.get(code, code)

    def forged(self, delivery: Delivery) -> list[tuple[dict[str, str], str]]:  # noqa: ARG002  # nothing is signed
        return []
