"""Test cards as data: the one source that the checkout page, the off-session charges and the docs read.

`python -m infra.sandbox.engine.cards` prints the table as Markdown.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from enum import StrEnum


class Does(StrEnum):
    APPROVE = "approve"
    DECLINE = "decline"
    CHALLENGE = "challenge"  # 3-D Secure: the customer confirms or refuses on a second page
    PROCESS = "process"  # the answer comes after some seconds


class RefundEnding(StrEnum):
    SUCCEEDS = "succeeds"
    PENDS = "pends"  # pending for some seconds, then succeeds
    FAILS_LATER = "fails_later"  # succeeds, and bounces after some seconds


@dataclass(frozen=True, slots=True)
class Step:
    does: Does
    code: str | None = None  # the decline code


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A script: `page` answers attempts in one checkout, `later` charges of the saved method.

    The last step of each repeats.
    """

    slug: str
    number: str
    brand: str
    title: str
    page: tuple[Step, ...]
    later: tuple[Step, ...]
    refund: RefundEnding = RefundEnding.SUCCEEDS

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def fingerprint(self) -> str:
        """One fingerprint per card number, for all customers. It does not reveal the number."""
        return hashlib.sha256(f"sandbox card {self.number}".encode()).hexdigest()[:24]

    @property
    def spaced(self) -> str:
        return " ".join(self.number[i : i + 4] for i in range(0, len(self.number), 4))


_OK = Step(Does.APPROVE)


def _no(code: str) -> Step:
    return Step(Does.DECLINE, code)


def _card(
    slug: str,
    number: str,
    title: str,
    *,
    page: tuple[Step, ...] = (_OK,),
    later: tuple[Step, ...] = (_OK,),
    refund: RefundEnding = RefundEnding.SUCCEEDS,
) -> Card:
    brand = "mastercard" if number.startswith("5") else "visa"
    return Card(slug=slug, number=number, brand=brand, title=title, page=page, later=later, refund=refund)


CARDS: tuple[Card, ...] = (
    _card("success", "4242424242424242", "Succeeds"),
    _card("success_mastercard", "5555555555554444", "Succeeds (Mastercard)"),
    _card(
        "soft_decline",
        "4000000000000002",
        "Declined: do not honor",
        page=(_no("do_not_honor"),),
        later=(_no("do_not_honor"),),
    ),
    _card(
        "hard_decline",
        "4000000000009979",
        "Declined: stolen card",
        page=(_no("stolen_card"),),
        later=(_no("stolen_card"),),
    ),
    _card(
        "funds_then_success",
        "4000000000009995",
        "Insufficient funds, next try succeeds",
        page=(_no("insufficient_funds"), _OK),
    ),
    _card("challenge", "4000002760003184", "3-D Secure step", page=(Step(Does.CHALLENGE),)),
    _card("slow", "4000000000000077", "Succeeds after some seconds", page=(Step(Does.PROCESS),)),
    _card(
        "later_soft",
        "4000000000000341",
        "Succeeds; later charges: do not honor",
        later=(_no("do_not_honor"),),
    ),
    _card(
        "later_hard",
        "4000000000000069",
        "Succeeds; later charges: expired card",
        later=(_no("expired_card"),),
    ),
    _card(
        "later_challenge",
        "4000002500003155",
        "Succeeds; later charges: authentication required",
        later=(_no("authentication_required"),),
    ),
    _card(
        "later_funds_once",
        "4000000000000127",
        "Succeeds; first later charge: insufficient funds, then fine",
        later=(_no("insufficient_funds"), _OK),
    ),
    _card(
        "refund_pends", "4000000000007726", "Succeeds; refunds take some seconds", refund=RefundEnding.PENDS
    ),
    _card(
        "refund_fails_later",
        "4000000000005126",
        "Succeeds; refunds bounce after some seconds",
        refund=RefundEnding.FAILS_LATER,
    ),
)

BY_NUMBER = {card.number: card for card in CARDS}
BY_SLUG = {card.slug: card for card in CARDS}

OWN_PREFIX = "42424242"
"""Sixteen Luhn-valid digits that begin so are a customer's own card: it succeeds, and its fingerprint is its own."""


def by_number(number: str) -> Card | None:
    """The card with this number, or None: the sandbox refuses real cards."""
    if card := BY_NUMBER.get(number):
        return card
    own = number.startswith(OWN_PREFIX) and len(number) == 16 and luhn_valid(number)
    return by_slug(f"own_{number}") if own else None


def by_slug(slug: str) -> Card:
    """The card of that name. Raises KeyError."""
    if slug.startswith("own_"):
        return dataclasses.replace(BY_SLUG["success"], slug=slug, number=slug.removeprefix("own_"))
    return BY_SLUG[slug]


MESSAGES = {
    "do_not_honor": "Your bank declined the payment. Try again later or use another card.",
    "stolen_card": "Your bank declined the payment. Please use another card.",
    "insufficient_funds": "There is not enough money on this card. Try again or use another card.",
    "expired_card": "This card has expired. Please use another card.",
    "authentication_required": "Your bank asks you to confirm this payment.",
    "authentication_failed": "The payment was not confirmed. Try again or use another card.",
}
"""What the customer reads. A stolen card is not called stolen: the person with the card may be the thief."""


def message(code: str) -> str:
    return MESSAGES.get(code, "Your bank declined the payment. Please use another card.")


def step(steps: tuple[Step, ...], attempt: int) -> Step:
    """The answer to the attempt, counted from zero; the last step repeats."""
    return steps[min(attempt, len(steps) - 1)]


def luhn_valid(number: str) -> bool:
    if not number.isascii() or not number.isdigit() or not 12 <= len(number) <= 19:
        return False
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0


def markdown() -> str:
    rows = [f"| `{card.spaced}` | {card.title} | `{card.slug}` |" for card in CARDS]
    return "\n".join(["| Card | What happens | Name |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    print(markdown())  # noqa: T201
