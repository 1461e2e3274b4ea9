"""Renders mails to customers: at most one per event, in English or Russian.

This module imports Jinja2 and Babel, so only the function that sends mail imports it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlsplit

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_currency, get_currency_symbol
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, pass_context
from jinja2.runtime import Context

from shared_lib.billing.events import FactType, JobType
from shared_lib.contract.events import Planned
from shared_lib.domain.entitlement import RENTAL_FINISH_HOURS, RENTAL_START_DAYS
from shared_lib.domain.money import Money, exponent
from shared_lib.domain.values import Value

TEMPLATES: Final = Path(__file__).with_name("templates")

MAILED: Final[Mapping[str, str]] = MappingProxyType(
    {
        JobType.TELL_AUTO_RENEW: "auto_renew_changed",
        FactType.ORDER_PAID: "receipt",
        FactType.PAYMENT_ACTION_REQUIRED: "action_required",
        FactType.PAYMENT_SURPLUS: "surplus",
        FactType.REFUND_SUCCEEDED: "refund",
        FactType.SUBSCRIPTION_CANCELED: "canceled",
        FactType.SUBSCRIPTION_PAST_DUE: "past_due",
        Planned.SUBSCRIPTION_PAUSED: "paused",
        Planned.SUBSCRIPTION_RESUMED: "resumed",
        FactType.SUBSCRIPTION_SUSPENDED: "suspended",
    }
)
"""Event type -> template."""

NOT_MAILED: Final[Mapping[str, str]] = MappingProxyType(
    {
        Planned.DISPUTE_LOST: "the bank informs its customer",
        Planned.DISPUTE_OPENED: "the customer opened it at the bank",
        Planned.DISPUTE_WON: "the bank informs its customer",
        FactType.ENTITLEMENT_CHANGED: "follows from a refund, a renewal or a first play, which have their own mail",
        FactType.ENTITLEMENT_GRANTED: "the receipt lists what the customer may watch",
        FactType.ENTITLEMENT_REVOKED: "the mail about the refund or the suspension says so",
        FactType.ORDER_CANCELED: "the customer canceled it, or sees the decline on the checkout page",
        FactType.ORDER_CREATED: "the customer is on the checkout page",
        FactType.ORDER_EXPIRED: "an abandoned checkout needs no mail",
        FactType.ORDER_REFUNDED: "billing.refund.succeeded is mailed, once per refund",
        FactType.PAYMENT_DECLINED: "shown at checkout; a declined renewal is billing.subscription.past_due",
        FactType.PAYMENT_SUCCEEDED: "billing.order.paid is the receipt",
        FactType.PAYMENT_UNKNOWN: "the outcome is not known yet",
        FactType.REFUND_APPROVED: "the mail follows when the money is returned",
        FactType.REFUND_REJECTED: "the customer was never informed of the request",
        FactType.REFUND_FAILED: "an operator must act first",
        FactType.REFUND_REQUESTED: "the call answers it; the mail follows when the money is returned",
        FactType.SUBSCRIPTION_ACTIVATED: "the receipt of the first payment is the welcome",
        FactType.AUTO_RENEW_CHANGED: "`billing.job.tell_auto_renew` mails the change after it has stood for a minute",
        Planned.SUBSCRIPTION_PLAN_CHANGED: "each change is paid by an order, whose receipt names the new plan",
        FactType.SUBSCRIPTION_RENEWED: "billing.order.paid is the receipt of the renewal",
    }
)
"""Event type -> why no mail."""

NEWER_KEYS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "why": "confirm",
        "again": False,
        "link_failed": False,
        "decline_reason": None,
        "access_until": None,
        "renews": True,
        "renewal_amount": None,
    }
)
"""Defaults for keys that older events do not have, and for those that only our rows have (queries/mails.py)."""

UNPAID_REASONS: Final = frozenset({"payment_failed"})
"""Reasons of billing.subscription.canceled that mean: the renewal was not paid."""

_LANGUAGES = frozenset({"en", "ru"})
_DEFAULT_LOCALE = "en_GB"  # day before month and a 24-hour clock: understood in every country
_TEXT_WIDTH = 72


class UnrenderableError(Exception):
    """The event lacks data that its mail needs, or its type is unknown. A retry does not help."""


class Brand(Value, kw_only=True):
    """What every mail shows of the cinema (BOXOFFICE_CINEMA_*), and the terms that mails quote."""

    name: str
    account_url: str
    support_email: str
    rental_start_days: int = RENTAL_START_DAYS
    rental_finish_hours: int = RENTAL_FINISH_HOURS


class Rendered(Value, kw_only=True):
    subject: str
    text: str
    html: str
    language: str


def template_of(event_type: str, data: Mapping[str, object]) -> str | None:
    """The template for this event, or None when it needs no mail. Raises UnrenderableError for an unknown type."""
    if event_type in NOT_MAILED:
        return None
    if event_type == FactType.REFUND_SUCCEEDED and data.get("surplus"):
        return None  # billing.payment.surplus has announced it
    waits = data.get("next_retry_at") or data.get("link_failed")
    if event_type == FactType.SUBSCRIPTION_PAST_DUE and not waits:
        return None  # billing.payment.action_required has the link to pay
    try:
        return MAILED[event_type]
    except KeyError:
        raise UnrenderableError(f"{event_type} is neither in MAILED nor in NOT_MAILED") from None


def render(
    event_type: str, data: Mapping[str, object], locale: str | None, *, brand: Brand
) -> Rendered | None:
    """The mail about an event in the customer's language, or None when there is none.

    `locale` is a BCP 47 tag; every language but Russian gets English. Raises UnrenderableError when data is missing.
    """
    name = template_of(event_type, data)
    if name is None:
        return None
    babel = _locale(locale)
    values = {**NEWER_KEYS, **data, "brand": brand, "babel": babel, "language": babel.language}
    try:
        html = _fill(f"{babel.language}/{name}.j2", "html", values)
        text = _fill(f"{babel.language}/{name}.j2", "txt", values)
        subject = _subject(f"{babel.language}/{name}.j2", values)
    except (TemplateError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise UnrenderableError(f"{event_type}: {error}") from error
    return Rendered(subject=subject, text=text, html=html, language=babel.language)


def _fill(template: str, form: str, values: Mapping[str, Any]) -> str:
    """One template makes both text and HTML, so that they cannot differ."""
    parts = {"layout": f"layout.{form}.j2", "kit": f"kit.{form}.j2"}
    filled = _environment(form).get_template(template).render({**values, **parts})
    return re.sub(r"\n{3,}", "\n\n", filled).strip() + "\n"


def _subject(template: str, values: Mapping[str, Any]) -> str:
    found = _environment("txt").get_template(template)
    subject = "".join(found.blocks["subject"](found.new_context(dict(values))))
    return re.sub(r"\s+", " ", subject).strip()  # a title with a line break must not become a header


@lru_cache(maxsize=2)
def _environment(form: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=form == "html",  # noqa: S701 - plain text has nothing to escape
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["unpaid_reasons"] = UNPAID_REASONS
    environment.filters |= {
        "money": _money,
        "moment": _moment,
        "plural": _plural,
        "fill": _wrap,
        "link": _link,
        "mailto": _mailto,
    }
    return environment


@lru_cache(maxsize=256)
def _locale(tag: str | None) -> Locale:
    """The customer's locale if we have its language, else English. Never fails, because the tag comes from outside."""
    try:
        locale = Locale.parse((tag or "").replace("-", "_"))
    except (ValueError, TypeError, UnknownLocaleError):
        return Locale.parse(_DEFAULT_LOCALE)
    if locale.language not in _LANGUAGES or str(locale) == "en":
        return Locale.parse(_DEFAULT_LOCALE)
    return locale


@pass_context
def _money(context: Context, amount: Mapping[str, Any]) -> str:
    """12,99 € in Russian, €12.99 in English; a currency without a sign in that language keeps its code: 990.00 RUB."""
    money, locale = Money(amount["minor"], amount["currency"]), _babel(context)
    digits = exponent(money.currency)  # of ISO 4217, by which money is settled; CLDR rounds some for display
    has_sign = get_currency_symbol(money.currency, locale=locale) != money.currency
    pattern = locale.currency_formats["standard"].pattern if has_sign else "#,##0.00\u00a0¤"
    fraction = "0." + "0" * digits if digits else "0"
    return format_currency(
        money.decimal(),
        money.currency,
        format=pattern.replace("0.00", fraction),
        locale=locale,
        currency_digits=False,
    )


@pass_context
def _moment(context: Context, instant: str) -> str:
    """An instant in UTC, with its zone: 23 November 2026, 05:54 UTC."""
    at, locale = datetime.fromisoformat(instant), _babel(context)
    if at.tzinfo is None:
        raise ValueError(f"an instant without its zone: {instant}")
    at = at.astimezone(UTC)
    day, hour = format_date(at, "long", locale=locale), format_time(at, "short", tzinfo=UTC, locale=locale)
    return f"{day}, {hour}\u00a0UTC"


@pass_context
def _plural(context: Context, count: int, *forms: str) -> str:
    """`2|plural("час", "часа", "часов")` -> 2 часа: forms for one, (few,) many."""
    form = _babel(context).plural_form(count)
    index = {"one": 0, "few": 1}.get(form, len(forms) - 1)
    return f"{count}\u00a0{forms[index]}"


def _wrap(text: str) -> str:
    """A wrapped paragraph of plain text; non-breaking spaces and links stay whole."""
    return textwrap.fill(
        re.sub(r"[ \t\r\n]+", " ", text).strip(),
        _TEXT_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _link(url: str) -> str:
    """The URL, if it is a plain web address. Raises ValueError: escaping alone would let `javascript:` pass."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("not a web address")
    return url


def _mailto(address: str) -> str:
    """The address as a part of a mailto link (RFC 6068): a `?` or `&` in it is a letter, not the begin of a header."""
    return quote(address, safe="@")


def _babel(context: Context) -> Locale:
    locale = context["babel"]
    assert isinstance(locale, Locale)
    return locale
