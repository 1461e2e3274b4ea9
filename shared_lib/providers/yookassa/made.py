"""The adapter as the settings describe it."""

from __future__ import annotations

from shared_lib.http_client.transport import AiohttpTransport
from shared_lib.providers.yookassa.adapter import YooKassaProvider
from shared_lib.providers.yookassa.hints import NETWORKS
from shared_lib.providers.yookassa.receipts import ReceiptRules
from shared_lib.settings import Settings


def made(settings: Settings) -> YooKassaProvider:
    return YooKassaProvider(
        shop_id=settings.yookassa_shop_id,
        secret_key=settings.yookassa_secret_key.get_secret_value(),
        currency=settings.yookassa_currency,
        receipts=_receipts(settings),
        networks=settings.yookassa_webhook_networks or NETWORKS,
        base_url=settings.yookassa_url,
        http=AiohttpTransport(),
    )


def _receipts(settings: Settings) -> ReceiptRules | None:
    if settings.yookassa_vat_code is None:
        return None
    return ReceiptRules(
        vat_code=settings.yookassa_vat_code,
        email=settings.yookassa_receipt_email,
        payment_subject=settings.yookassa_payment_subject,
        payment_mode=settings.yookassa_payment_mode,
        tax_system_code=settings.yookassa_tax_system_code,
    )
