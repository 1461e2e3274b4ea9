"""YooKassa's official SDK, unmodified, does what a shop does, and prints as JSON what it understood.

A process of its own runs this: the SDK keeps its configuration in a class, and is synchronous.
`python drive.py API_URL SHOP_ID` reads the secret key from SECRET_KEY and pays on the pages that it is sent to.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import requests
from yookassa import Configuration, Payment, Receipt, Refund
from yookassa.domain.exceptions import BadRequestError, NotFoundError, UnauthorizedError
from yookassa.domain.notification import WebhookNotificationFactory

CARD = {"number": "4242424242424242", "expires": "12 / 34", "cvc": "123", "holder": "Ada"}


def new(**more: Any) -> dict[str, Any]:
    redirect = {"type": "redirect", "return_url": "https://cinema.example/thanks"}
    body = {
        "amount": {"value": "399.00", "currency": "RUB"},
        "description": "Metropolis",
        "metadata": {"order_id": "ord_sdk"},
        "confirmation": redirect,
    }
    return {name: value for name, value in (body | more).items() if value is not None}


def pay(payment: Any) -> None:
    answer = requests.post(
        payment.confirmation.confirmation_url, data=CARD, allow_redirects=False, timeout=60
    )
    assert answer.headers["location"] == "https://cinema.example/thanks", answer.text


def refusal(call: Any) -> dict[str, Any]:
    try:
        call()
    except (BadRequestError, NotFoundError, UnauthorizedError) as error:
        return {"class": type(error).__name__, **error.content}
    raise AssertionError("it was not refused")


def in_two_stages() -> dict[str, Any]:
    """Approved and captured in part; approved and released."""
    made = Payment.create(new(capture=False), "sdk-two-stages")
    pay(made)
    waiting = Payment.find_one(made.id)
    part = {"amount": {"value": "99.50", "currency": "RUB"}}
    captured = Payment.capture(made.id, part, "sdk-capture")
    other = Payment.create(new(capture=False), "sdk-to-release")
    pay(other)
    released = Payment.cancel(other.id, "sdk-cancel")
    return {
        "waiting": [waiting.status, waiting.paid, waiting.expires_at is not None],
        "captured": [captured.status, str(captured.amount.value)],
        "released": [released.status, released.cancellation_details.reason],
    }


def saved_and_charged() -> dict[str, Any]:
    receipt = {
        "customer": {"email": "ann@example.com"},
        "items": [
            {
                "description": "Metropolis",
                "quantity": 1,
                "amount": {"value": "399.00", "currency": "RUB"},
                "vat_code": 4,
                "payment_subject": "service",
                "payment_mode": "full_payment",
            }
        ],
    }
    made = Payment.create(new(capture=True, save_payment_method=True, receipt=receipt), "sdk-first")
    again = Payment.create(new(capture=True, save_payment_method=True, receipt=receipt), "sdk-first")
    pay(made)
    first = Payment.find_one(made.id)
    body = new(capture=True, payment_method_id=first.payment_method.id, confirmation=None)
    renewal = Payment.create(body, "sdk-renewal")
    return {
        "same": made.id == again.id,
        "first": [first.status, first.test, first.payment_method.saved, first.payment_method.card.last4],
        "method_is_first_payment": first.payment_method.id == first.id,
        "renewal": [renewal.status, renewal.paid, renewal.metadata["order_id"]],
        "receipts": [[it.type, it.status] for it in Receipt.list({"payment_id": made.id}).items],
        "payment": first.id,
    }


def given_back(payment_id: str) -> dict[str, Any]:
    part = {"payment_id": payment_id, "amount": {"value": "100.00", "currency": "RUB"}}
    refund = Refund.create(part, "sdk-refund")
    read = Refund.find_one(refund.id)
    too_much = {"payment_id": payment_id, "amount": {"value": "300.00", "currency": "RUB"}}
    return {
        "refund": [read.status, str(read.amount.value), read.payment_id == payment_id],
        "left": str(Payment.find_one(payment_id).refunded_amount.value),
        "listed": [it.id == refund.id for it in Refund.list({"payment_id": payment_id}).items],
        "too_much": refusal(lambda: Refund.create(too_much, "sdk-too-much")),
        "reused": refusal(lambda: Refund.create(too_much, "sdk-refund")),
    }


def listed() -> dict[str, Any]:
    """Every payment once, two a page."""
    ids: list[str] = []
    params: dict[str, Any] = {"limit": 2, "created_at.gte": "2020-01-01T00:00:00.000Z"}
    pages = 0
    while True:
        found = Payment.list(params)
        ids += [it.id for it in found.items]
        pages += 1
        if not found.next_cursor:
            return {"pages": pages, "payments": len(ids), "once": len(ids) == len(set(ids))}
        params = {"limit": 2, "cursor": found.next_cursor}


def notified(bodies: list[str]) -> list[list[Any]]:
    """What the SDK reads in the notifications that came."""
    told = [WebhookNotificationFactory().create(json.loads(body)) for body in bodies]
    return [[it.event, it.object.status, str(it.object.amount.value)] for it in told]


def main(api_url: str, shop_id: str) -> None:
    if api_url == "-":
        print(json.dumps(notified(json.load(sys.stdin))))
        return
    Configuration.configure(shop_id, os.environ["SECRET_KEY"], api_url=api_url)
    saved = saved_and_charged()
    said = {
        "saved": saved,
        "stages": in_two_stages(),
        "given_back": given_back(saved["payment"]),
        "unknown": refusal(lambda: Payment.find_one("2d2a1f3c-000f-5000-9000-1b2c3d4e5f60")),
        "list": listed(),
    }
    Configuration.configure(shop_id, "test_of_another_shop", api_url=api_url)
    said["stranger"] = refusal(lambda: Payment.find_one(saved["payment"]))
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
