"""The example of the settings is complete, and holds nothing that is not one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared_lib.cli.terminal import environment as cli_environment
from shared_lib.settings import Environment, Settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"


def test_the_example_names_every_setting_and_no_other() -> None:
    named = set(re.findall(r"^BOXOFFICE_([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting but those without which there are no Settings."""
    for name in [name for name in os.environ if name.startswith("BOXOFFICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BOXOFFICE_ENVIRONMENT", "local")
    monkeypatch.setenv("BOXOFFICE_DATABASE_URL", "postgresql://boxoffice@127.0.0.1/boxoffice")
    monkeypatch.setenv("BOXOFFICE_SANDBOX_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("BOXOFFICE_SANDBOX_WEBHOOK_SECRETS", "whsec_x")
    return monkeypatch


# The last two by the default provider, and the environment because the strict one has no sandbox.
NEEDED = ("database_url", "environment", "sandbox_url", "sandbox_webhook_secrets")


def test_the_environment_that_is_not_said_is_the_strict_one(environment: pytest.MonkeyPatch) -> None:
    for unsaid in (None, ""):
        environment.delenv("BOXOFFICE_ENVIRONMENT", raising=False)
        if unsaid is not None:
            environment.setenv("BOXOFFICE_ENVIRONMENT", unsaid)
        with pytest.raises(ValidationError, match="cannot be used in production"):
            Settings()
        assert cli_environment() == "production"
    assert Settings(environment=Environment.LOCAL).environment is Environment.LOCAL


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name not in NEEDED])
def test_an_empty_variable_is_one_that_is_not_set(environment: pytest.MonkeyPatch, name: str) -> None:
    without, variable = Settings(), f"BOXOFFICE_{name.upper()}"
    environment.setenv(variable, "")
    assert Settings() == without


def test_an_empty_address_means_none_however_it_is_given(environment: pytest.MonkeyPatch) -> None:
    more = {
        "redis_url": "",
        "ses_endpoint_url": "",
        "sandbox_url": "http://a",
        "sandbox_webhook_secrets": "whsec_x",
    }
    own = Settings(database_url="postgresql://a@b/c", **more)  # type: ignore[arg-type]
    assert (own.redis_url, own.ses_endpoint_url) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis_url", "hunter2"),
        ("redis_url", "127.0.0.1:6379/hunter2"),
        ("redis_url", "redis://:hunter2@127.0.0.1:port/0"),
        ("redis_url", "redis://:hunter2@[bad/0"),
        ("redis_url", "redis://127.0.0.1:6379/hunter2"),
        ("redis_url", "http://:hunter2@127.0.0.1"),
        ("auth_jwks_url", "hunter2"),
        ("sandbox_url", "ftp://127.0.0.1/hunter2"),
        ("public_url", "//hunter2"),
        ("ses_endpoint_url", "http://ann:hunter2@127.0.0.1:4"),
        ("reply_secrets", "hunter2"),
        ("writers", "hunter2"),
        ("return_url_origins", "hunter2:5173"),
        ("return_url_origins", "https://cinema.example,https://cinema.example/hunter2"),
        ("return_url_origins", "*"),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(f"BOXOFFICE_{name.upper()}", value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert name in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_origins_are_those_that_browsers_send(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BOXOFFICE_RETURN_URL_ORIGINS", "http://LocalHost:5173/, https://cinema.example")
    own = Settings()
    assert own.return_url_origins == ("http://localhost:5173", "https://cinema.example")
    assert own.page_to_return_to("http://localhost:5173/thanks") == "http://localhost:5173/thanks"
