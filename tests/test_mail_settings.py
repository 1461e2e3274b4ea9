"""What mails show of the cinema comes from settings: one line each, and in production no placeholder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared_lib.addresses import NAME_CHARS_MAX, is_placeholder
from shared_lib.cli.doctor import mails
from shared_lib.settings import Settings, WrongSettingsError, read_settings, settings, settings_of

PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://db",
    "PROVIDERS": "benchmarks.instant:InstantProvider",
    "DEFAULT_PROVIDER": "benchmarks.instant:InstantProvider",
    "AUTH_JWKS_URL": "https://auth.kino.de/keys",
}
OWN = {
    "MAIL_FROM": "Kino <karten@kino.de>",
    "CINEMA_NAME": "Kino",
    "CINEMA_ACCOUNT_URL": "https://www.kino.de/konto",
    "CINEMA_SUPPORT_EMAIL": "hilfe@kino.de",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A production process with settings of its own."""
    for name, value in (PRODUCTION | OWN).items():
        monkeypatch.setenv(f"BOXOFFICE_{name}", value)
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def test_a_production_process_that_mails_starts_with_the_cinemas_own(environment: pytest.MonkeyPatch) -> None:
    assert settings_of("notify").cinema_name == "Kino"
    assert mails(settings()).well


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "") for name in OWN),
        ("MAIL_FROM", "Kino <karten@cinema.example>"),
        ("CINEMA_ACCOUNT_URL", "https://www.cinema.example/account"),
        ("CINEMA_ACCOUNT_URL", "http://www.kino.de/konto"),
        ("CINEMA_ACCOUNT_URL", "https://127.0.0.1:8100/account"),
        ("CINEMA_ACCOUNT_URL", "https://localhost/account"),
        ("CINEMA_ACCOUNT_URL", "https://[::1]/account"),
        ("CINEMA_SUPPORT_EMAIL", "help@example.com"),
    ],
)
def test_in_production_a_placeholder_stops_the_process_that_mails_and_no_other(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(f"BOXOFFICE_{name}", value)
    with pytest.raises(WrongSettingsError, match=f"notify needs BOXOFFICE_{name} of your cinema"):
        settings_of("notify")
    found = mails(settings())
    assert not found.well
    assert f"BOXOFFICE_{name}" in found.says
    assert settings_of("relay").livemode


def test_elsewhere_the_placeholders_do(environment: pytest.MonkeyPatch) -> None:
    for name in OWN:
        environment.delenv(f"BOXOFFICE_{name}")
    environment.setenv("BOXOFFICE_ENVIRONMENT", "local")
    assert settings_of("notify").placeholders
    assert mails(settings()).well


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CINEMA_NAME", "Kino\r\nBcc: all@kino.de"),
        ("CINEMA_NAME", "Kino\nX: y"),
        ("CINEMA_NAME", "Kino\u2028"),
        ("CINEMA_NAME", "Kino\u202eonik"),
        ("CINEMA_NAME", "   "),
        ("CINEMA_NAME", "x" * (NAME_CHARS_MAX + 1)),
        ("MAIL_FROM", "Kino\r\nBcc: all@kino.de <karten@kino.de>"),
        ("MAIL_FROM", "Kino <karten@kino.de>, Bank <a@bank.de>"),
        ("MAIL_FROM", "Kino"),
        ("CINEMA_SUPPORT_EMAIL", "hilfe@kino.de\nBcc: all@kino.de"),
        ("CINEMA_SUPPORT_EMAIL", "Hilfe <hilfe@kino.de>"),
        ("CINEMA_SUPPORT_EMAIL", "hilfe"),
        ("CINEMA_ACCOUNT_URL", "javascript:alert(1)"),
        ("CINEMA_ACCOUNT_URL", "www.kino.de/konto"),
        ("CINEMA_ACCOUNT_URL", 'https://kino.de/"><script>'),
    ],
)
def test_what_could_add_a_header_or_lead_elsewhere_is_refused_everywhere(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv("BOXOFFICE_ENVIRONMENT", "local")
    environment.setenv(f"BOXOFFICE_{name}", value)
    with pytest.raises(WrongSettingsError, match=f"BOXOFFICE_{name}") as refused:
        read_settings()
    assert "Bcc" not in str(refused.value)


@pytest.mark.parametrize("value", ["Кино «Центральное»", "Kino & Co. <Berlin>", "映画館", " Kino "])
def test_a_name_may_have_any_letters(environment: pytest.MonkeyPatch, value: str) -> None:
    environment.setenv("BOXOFFICE_CINEMA_NAME", value)
    assert Settings().cinema_name == value.strip()


def test_a_domain_that_belongs_to_a_cinema_is_no_placeholder() -> None:
    for address in (
        "https://www.kino.de/",
        "Kino <a@kino.de>",
        "https://93.184.215.14/",
        "a@example.org.kino.de",
    ):
        assert not is_placeholder(address)
