# ruff: noqa: RUF001  # Russian letters look like Latin ones, and are meant
"""What the mails say: the right facts, in the customer's language, and nothing that an attacker slipped in."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from shared_lib.billing.links import Why
from shared_lib.domain.values import replace
from shared_lib.mail.render import (
    MAILED,
    NOT_MAILED,
    TEMPLATES,
    Brand,
    Rendered,
    UnrenderableError,
    render,
    template_of,
)
from tests.mail.events import EXAMPLES, LINK

BRAND = Brand(
    name="Kino <Central> & Co",
    account_url="https://cinema.example/account",
    support_email="help@cinema.example",
)

CONTRACT = {
    "billing.order": "created paid canceled expired refunded",
    "billing.payment": "succeeded declined unknown surplus action_required",
    "billing.subscription": "activated renewed past_due suspended canceled paused resumed plan_changed "
    "auto_renew_changed",
    "billing.job": "tell_auto_renew",
    "billing.refund": "requested approved rejected succeeded failed",
    "billing.entitlement": "granted changed revoked",
    "billing.dispute": "opened won lost",
}


class _Words(HTMLParser):
    """What a reader of the HTML sees, and which tags and links it is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._hidden += tag in ("style", "title")
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def mail(example: str, locale: str | None = "en", brand: Brand = BRAND, **changed: Any) -> Rendered:
    event_type, data = EXAMPLES[example]
    rendered = render(event_type, data | changed, locale, brand=brand)
    assert rendered is not None
    return rendered


def test_every_event_of_the_contract_is_decided_exactly_once() -> None:
    contract = {f"{noun}.{verb}" for noun, verbs in CONTRACT.items() for verb in verbs.split()}
    assert set(MAILED) | set(NOT_MAILED) == contract
    assert not set(MAILED) & set(NOT_MAILED)
    assert all(NOT_MAILED.values()), "silence has a reason"


def test_every_template_exists_in_both_languages_and_none_is_left_over() -> None:
    for language in ("en", "ru"):
        found = {path.name for path in (TEMPLATES / language).iterdir()}
        assert found == {f"{name}.j2" for name in MAILED.values()} | {"mail.j2"}


def test_every_told_event_has_an_example() -> None:
    assert {event_type for event_type, _ in EXAMPLES.values()} == set(MAILED)


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_each_mail_names_its_thing_in_text_and_html_alike(example: str, locale: str) -> None:
    rendered, (_, data) = mail(example, locale), EXAMPLES[example]
    seen = plain(" ".join(_Words(rendered.html).words))
    number = "order_id" if "order_id" in data else "subscription_id"
    for fact in (data["product_title"], data[number], BRAND.name):
        assert fact in rendered.text
        assert fact in seen
    assert rendered.subject
    assert len(rendered.subject) < 100
    assert rendered.html.startswith("<!doctype html>")
    cyrillic = bool(re.search("[а-яё]", rendered.subject + rendered.text))
    assert cyrillic == (locale == "ru")
    assert rendered.language == locale


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_text_and_html_carry_the_same_paragraphs(example: str, locale: str) -> None:
    rendered = mail(example, locale)
    seen = plain(" ".join(_Words(rendered.html).words))
    for paragraph in rendered.text.split("\n\n")[2:-1]:
        for line in [plain(paragraph)] if ": " not in paragraph else paragraph.splitlines():
            words = plain(line).split(": ")[-1].removesuffix(":")
            assert words in seen or words in _Words(rendered.html).links


@pytest.mark.parametrize(
    ("amount", "locale", "shown"),
    [
        ({"minor": 1299, "currency": "EUR"}, "en", "€12.99"),
        ({"minor": 1299, "currency": "EUR"}, "ru", "12,99 €"),
        ({"minor": 123456789, "currency": "RUB"}, "ru-RU", "1 234 567,89 ₽"),
        ({"minor": 99000, "currency": "RUB"}, "en-US", "990.00 RUB"),
        ({"minor": 500, "currency": "JPY"}, "en", "JP¥500"),
        ({"minor": 500, "currency": "JPY"}, "ru", "500 ¥"),
        ({"minor": 1500, "currency": "KWD"}, "en", "1.500 KWD"),
        ({"minor": 1234500, "currency": "HUF"}, "ru", "12 345,00 HUF"),
        ({"minor": 150000, "currency": "ISK"}, "ru", "150 000 ISK"),
        ({"minor": 1, "currency": "USD"}, "en-US", "$0.01"),
    ],
)
def test_amounts_read_as_the_customer_writes_them(amount: dict[str, Any], locale: str, shown: str) -> None:
    assert shown in plain(mail("purchase", locale, amount=amount).text)


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ("en", "23 November 2026, 05:54 UTC"),
        ("en-US", "November 23, 2026, 5:54 AM UTC"),
        ("ru", "23 ноября 2026 г., 05:54 UTC"),
    ],
)
def test_instants_name_their_zone(locale: str, shown: str) -> None:
    assert shown in plain(mail("purchase", locale).text)
    moscow = mail("purchase", locale, paid_at="2026-11-23T08:54:00+03:00")
    kamchatka = mail("purchase", locale, paid_at="2026-11-24T11:54:00+12:00")
    assert shown in plain(moscow.text)
    assert shown.replace("5:54 AM", "11:54 PM").replace("05:54", "23:54") in plain(kamchatka.text)


@pytest.mark.parametrize(
    ("hours", "shown"),
    [(1, "1 час,"), (2, "2 часа,"), (5, "5 часов,"), (11, "11 часов,"), (21, "21 час,"), (48, "48 часов,")],
)
def test_russian_counts_in_its_three_forms(hours: int, shown: str) -> None:
    assert shown in plain(mail("rental", "ru", replace(BRAND, rental_finish_hours=hours)).text)


@pytest.mark.parametrize(("days", "shown"), [(1, "1 дня."), (2, "2 дней."), (30, "30 дней.")])
def test_russian_declines_after_the_preposition(days: int, shown: str) -> None:
    assert shown in plain(mail("rental", "ru", replace(BRAND, rental_start_days=days)).text)


def test_english_counts_in_two_forms() -> None:
    assert "within 1 day." in plain(mail("rental", "en", replace(BRAND, rental_start_days=1)).text)
    assert "within 30 days." in plain(mail("rental", "en").text)


@pytest.mark.parametrize(
    "locale", [None, "", "de-DE", "xx", "../../etc/passwd", "en\r\nBcc: x", "ru" * 400, "zh-Hans-CN", "en-XX"]
)
def test_any_locale_from_outside_gets_a_readable_mail(locale: str | None) -> None:
    assert mail("purchase", locale).language == "en"


@pytest.mark.parametrize("locale", ["ru", "ru-RU", "ru_KZ", "RU"])
def test_every_russian_locale_reads_russian(locale: str) -> None:
    assert mail("purchase", locale).language == "ru"


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_a_hostile_title_stays_text(example: str, locale: str) -> None:
    hostile = "<script>alert(1)</script>\r\nBcc: x@y <img src=x>{{ 7*7 }}"
    rendered = mail(example, locale, product_title=hostile)
    parsed = _Words(rendered.html)
    assert not {"script", "img"} & parsed.tags
    assert "49" not in plain(rendered.text)
    assert "<script>" in rendered.text  # plain text needs no escaping
    assert "\n" not in rendered.subject
    assert "\r" not in rendered.subject


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "javascript://pay.example/%0aalert(1)",
        "//pay.example/",
        "https://",
        "https://x y/",
        "",
    ],
)
def test_only_web_addresses_become_links(url: str) -> None:
    with pytest.raises(UnrenderableError):
        mail("action required", checkout_url=url)


def test_the_checkout_link_arrives_whole() -> None:
    rendered = mail("action required")
    assert "\nhttps://pay.example/c/1?a=1&b=2\n" in rendered.text
    assert "https://pay.example/c/1?a=1&b=2" in _Words(rendered.html).links


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_mail_shows_the_cinemas_name_and_who_answers(example: str, locale: str) -> None:
    rendered = mail(example, locale)
    parsed = _Words(rendered.html)
    assert rendered.text.startswith(BRAND.name + "\n")
    assert BRAND.name in plain(" ".join(parsed.words))
    assert "central" not in parsed.tags
    assert f"{BRAND.support_email}." in plain(rendered.text)
    assert f"mailto:{BRAND.support_email}" in parsed.links


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_a_mail_links_to_its_page_to_pay_and_to_the_cinema_alone(example: str, locale: str) -> None:
    rendered, (_, data) = mail(example, locale), EXAMPLES[example]
    ours = {BRAND.account_url, data.get("checkout_url") or BRAND.account_url}
    web = [link for link in _Words(rendered.html).links if not link.startswith("mailto:")]
    assert set(web) <= ours
    assert set(re.findall(r"https?://\S+", rendered.text)) == set(web)


def without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != name}


@pytest.mark.parametrize("example", EXAMPLES)
def test_missing_data_fails_loudly(example: str) -> None:
    event_type, data = EXAMPLES[example]
    for needed in ("product_title", "order_id" if "order_id" in data else "subscription_id"):
        with pytest.raises(UnrenderableError, match=event_type):
            render(event_type, without(data, needed), "en", brand=BRAND)


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": None},
        {"amount": {"minor": 12.99, "currency": "EUR"}},
        {"amount": {"minor": 1299}},
        {"amount": {"minor": 1299, "currency": "euro"}},
        {"paid_at": "2026-11-23T05:54:00"},
        {"paid_at": None},
        {"paid_at": "yesterday"},
    ],
    ids=str,
)
def test_data_that_makes_no_sense_fails_loudly(changed: dict[str, Any]) -> None:
    with pytest.raises(UnrenderableError):
        mail("purchase", **changed)


def test_an_undecided_event_type_fails_loudly() -> None:
    with pytest.raises(UnrenderableError):
        template_of("billing.order.teleported", {})


@pytest.mark.parametrize("event_type", NOT_MAILED)
def test_silent_events_render_nothing(event_type: str) -> None:
    assert render(event_type, {}, "en", brand=BRAND) is None


def test_a_surplus_is_told_once() -> None:
    event_type, data = EXAMPLES["refund"]
    assert render(event_type, data | {"surplus": True}, "en", brand=BRAND) is None


def test_a_renewal_that_needs_the_customer_is_told_once_with_its_link() -> None:
    event_type, data = EXAMPLES["past due, no page"]
    for kind in ("action_required", "hard", "soft"):
        declined = data | {"decline_kind": kind}
        assert render(event_type, declined | {"link_failed": False}, "en", brand=BRAND) is None
        assert render(event_type, declined, "en", brand=BRAND) is not None


@pytest.mark.parametrize("locale", ["en", "ru"])
def test_who_is_suspended_is_not_promised_access(locale: str) -> None:
    assert "30" in mail("past due", locale).text
    assert "30" not in mail("declined while suspended", locale).text


def test_the_receipt_says_what_was_bought_and_how_long() -> None:
    assert "as often as you like" in plain(mail("purchase").text)
    assert "48 hours" in plain(mail("rental").text)
    assert "Until: 23 December 2026" in plain(mail("first period").text)
    assert "renews automatically" in plain(mail("first period").text)
    assert "turn automatic renewal off before the trial ends" in plain(mail("trial").text)
    price = {"minor": 799, "currency": "EUR"}
    assert "continues for €7.99 per period" in plain(mail("trial", renewal_amount=price).text)
    off = [plain(mail(example, renews=False).text) for example in ("trial", "first period")]
    assert all("Automatic renewal is off" in text and "renews" not in text for text in off)
    assert "turn" not in off[0]
    assert "paid until 23 December 2026" in plain(mail("renewal").text)
    assert "renewed" in mail("renewal").subject


def test_past_due_says_what_happens_next_and_what_to_do() -> None:
    soft, no_page = plain(mail("past due").text), plain(mail("past due, no page").text)
    for text in (soft, no_page):
        assert "until 30 November 2026, 05:54 UTC" in text
        assert "send you a link" in text
    assert "try again on 24 November 2026, 05:54 UTC" in soft
    assert "not charged again" in no_page


@pytest.mark.parametrize("locale", ["en", "ru"])
@pytest.mark.parametrize("why", Why)
def test_a_link_comes_with_what_is_true_about_the_card(why: Why, locale: str) -> None:
    told = mail(f"to pay, {why}", locale)
    assert LINK in told.text
    others = [plain(mail(f"to pay, {other}", locale).text) for other in Why if other is not why]
    assert plain(told.text) not in others
    if locale == "en":
        assert ("will not be charged again" in plain(told.text)) is (why in (Why.DECLINED, Why.EXPIRED))
        assert ("earlier link" in plain(told.text)) is (why is Why.DECLINED)  # the example of a second one


def test_the_mail_about_a_suspension_has_the_link_or_says_when_it_comes() -> None:
    assert LINK in mail("suspended").text
    assert "we will send you a link" in plain(mail("suspended, a last try").text)


def test_a_subscription_that_was_not_paid_ends_with_that_reason() -> None:
    assert "could not collect" in plain(mail("canceled unpaid").text)
    assert "could not collect" not in plain(mail("canceled").text)
