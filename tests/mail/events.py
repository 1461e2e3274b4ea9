"""One example of each event that customers are mailed about, with the data the contract promises."""

from __future__ import annotations

from typing import Any

from shared_lib.billing.links import Why

PRICE = {"minor": 1299, "currency": "EUR"}

_ORDER: dict[str, Any] = {
    "order_id": "ord_01JD",
    "customer_id": "cus_1",
    "status": "paid",
    "billing_reason": "purchase",
    "product_id": "prd_1",
    "product_title": "Stalker",
    "price_id": "prc_1",
    "kind": "purchase",
    "amount": PRICE,
    "subscription_id": None,
    "provider": "sandbox",
    "period_start": None,
    "period_end": None,
    "payment_id": "pay_01JD",
    "paid_at": "2026-11-23T05:54:00Z",
    "trial": False,
}
_PERIOD = {
    "kind": "subscription",
    "subscription_id": "sub_01JD",
    "period_start": "2026-11-23T05:54:00Z",
    "period_end": "2026-12-23T05:54:00Z",
}
_SUBSCRIPTION: dict[str, Any] = {
    "subscription_id": "sub_01JD",
    "customer_id": "cus_1",
    "product_id": "prd_2",
    "product_title": "Stalker",
    "status": "active",
    "auto_renew": True,
    "period_n": 3,
    "period_start": "2026-11-23T05:54:00Z",
    "period_end": "2026-12-23T05:54:00Z",
    "amount": PRICE,
    "trial_end": None,
}
_PAYMENT: dict[str, Any] = {
    "order_id": "ord_01JD",
    "payment_id": "pay_01JD",
    "customer_id": "cus_1",
    "provider": "sandbox",
    "status": "succeeded",
    "amount": PRICE,
    "product_title": "Stalker",
    "subscription_id": None,
}
LINK = "https://pay.example/c/1?a=1&b=2"
_REFUND: dict[str, Any] = {
    "refund_id": "ref_01JD",
    "order_id": "ord_01JD",
    "payment_id": "pay_01JD",
    "customer_id": "cus_1",
    "amount": PRICE,
    "reason": "requested_by_customer",
    "access": "end_now",
    "surplus": False,
    "product_title": "Stalker",
}
_PAST_DUE = _SUBSCRIPTION | {
    "status": "past_due",
    "next_retry_at": "2026-11-24T05:54:00Z",
    "access_until": "2026-11-30T05:54:00Z",
    "decline_reason": "card_declined",
}

EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "purchase": ("billing.order.paid", _ORDER),
    "rental": ("billing.order.paid", _ORDER | {"billing_reason": "rental", "kind": "rental"}),
    "first period": ("billing.order.paid", _ORDER | _PERIOD | {"billing_reason": "subscription_create"}),
    "trial": (
        "billing.order.paid",
        _ORDER
        | _PERIOD
        | {"billing_reason": "subscription_create", "trial": True, "amount": {"minor": 0, "currency": "EUR"}},
    ),
    "renewal": ("billing.order.paid", _ORDER | _PERIOD | {"billing_reason": "subscription_cycle"}),
    "plan change": ("billing.order.paid", _ORDER | _PERIOD | {"billing_reason": "subscription_update"}),
    "surplus": ("billing.payment.surplus", _PAYMENT),
    "action required": (
        "billing.payment.action_required",
        _PAYMENT | {"status": "action_required", "checkout_url": LINK},
    ),
    **{
        f"to pay, {why}": (
            "billing.payment.action_required",
            _PAYMENT | {"status": "pending", "checkout_url": LINK, "why": why, "again": why == "declined"},
        )
        for why in Why
    },
    "refund": ("billing.refund.succeeded", _REFUND),
    "refund, access kept": ("billing.refund.succeeded", _REFUND | {"access": "keep"}),
    "refund, access shortened": (
        "billing.refund.succeeded",
        _REFUND | {"access": "shorten", "access_until": "2026-12-01T05:54:00Z", "renews": False},
    ),
    "past due": ("billing.subscription.past_due", _PAST_DUE),
    "past due, no money": (
        "billing.subscription.past_due",
        _PAST_DUE | {"decline_reason": "insufficient_funds"},
    ),
    "past due, no decline": ("billing.subscription.past_due", _PAST_DUE | {"decline_reason": None}),
    "past due, no page": (
        "billing.subscription.past_due",
        _PAST_DUE | {"next_retry_at": None, "link_failed": True},
    ),
    "declined while suspended": (
        "billing.subscription.past_due",
        _PAST_DUE | {"status": "suspended"},
    ),
    "suspended": (
        "billing.subscription.suspended",
        _SUBSCRIPTION | {"status": "suspended", "checkout_url": LINK, "next_retry_at": None},
    ),
    "suspended, a last try": (
        "billing.subscription.suspended",
        _SUBSCRIPTION
        | {"status": "suspended", "checkout_url": None, "next_retry_at": "2026-11-30T05:54:00Z"},
    ),
    "canceled": ("billing.subscription.canceled", _SUBSCRIPTION | {"reason": "opted_out"}),
    "canceled unpaid": ("billing.subscription.canceled", _SUBSCRIPTION | {"reason": "payment_failed"}),
    "renewal on": ("billing.job.tell_auto_renew", _SUBSCRIPTION),
    "renewal off": ("billing.job.tell_auto_renew", _SUBSCRIPTION | {"auto_renew": False}),
    "renewal on, unpaid": (
        "billing.job.tell_auto_renew",
        _SUBSCRIPTION | {"status": "past_due"},
    ),
    "renewal off, unpaid": (
        "billing.job.tell_auto_renew",
        _SUBSCRIPTION | {"status": "past_due", "auto_renew": False},
    ),
    "paused": ("billing.subscription.paused", _SUBSCRIPTION | {"status": "paused"}),
    "resumed": ("billing.subscription.resumed", _SUBSCRIPTION),
}
