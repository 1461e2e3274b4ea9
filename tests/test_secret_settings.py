"""A wrong setting beside secrets: what a process says about it when it starts holds no part of any of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from shared_lib.settings import WrongSettingsError, read_settings

ROOT: Final = Path(__file__).parents[1]
SECRET: Final = "xq7Zk2-hunter9Wv"
GOOD: Final = {
    "ENVIRONMENT": "local",
    "DATABASE_URL": f"postgresql://boxoffice:{SECRET}@127.0.0.1:1/x",
    "REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0",
    "SANDBOX_URL": "http://127.0.0.1:1",
    "SANDBOX_API_KEY": f"sk_{SECRET}",
    "SANDBOX_WEBHOOK_SECRETS": f"whsec_{SECRET}Ym94b2ZmaWNlYm94b2ZmaWNl",
    "REPLY_SECRETS": f"{SECRET}{SECRET}{SECRET}",
    "AUTH_JWKS_URL": "http://127.0.0.1:1/jwks.json",
    "KAFKA_BOOTSTRAP": "127.0.0.1:1",
}
# The variable to name, and what an operator's slip puts into it.
WRONG: Final = {
    "a secret in the wrong variable": ("WRITERS", SECRET),
    "no address at all": ("DATABASE_URL", SECRET),
    "a password with a slash": ("DATABASE_URL", f"postgresql://u:pa/{SECRET}@h:5432/x"),
    "a password with an @": ("DATABASE_URL", f"postgresql://u:pa@{SECRET}@h:5432/x"),
    "a password for a port": ("DATABASE_URL", f"postgresql://u:{SECRET}@h:{SECRET}/x"),
    "half encoded": ("DATABASE_URL", f"postgresql://u:%zz{SECRET}@h/x"),
    "two lines": ("DATABASE_URL", f"postgresql://u:{SECRET}\n@h/x"),
    "brackets": ("DATABASE_URL", f"postgresql://u:{SECRET}@[h/x"),
    "another database": ("DATABASE_URL", f"mysql://u:{SECRET}@h/x"),
    "Redis, no address": ("REDIS_URL", SECRET),
    "Redis, a password with a slash": ("REDIS_URL", f"redis://:pa/{SECRET}@h:6379"),
    "Redis, a password for a port": ("REDIS_URL", f"redis://u:{SECRET}@h:{SECRET}"),
    "no JSON": ("EVENT_ROUTES", '{"billing.": "http://u:' + SECRET + '@h"'),
    "a list for an object": ("EVENT_ROUTES", f'["{SECRET}"]'),
    "an address with a password": ("SES_ENDPOINT_URL", f"http://u:{SECRET}@h"),
    "an address that is none": ("AUTH_JWKS_URL", f"http://u:{SECRET}@[x"),
    "a short secret": ("REPLY_SECRETS", SECRET),
    "an environment": ("ENVIRONMENT", SECRET),
}  # fmt: skip
PROCESSES: Final = {
    "door": ("-m", "functions", "--port", "0"),
    "relay": ("-m", "shared_lib.workers.relay"),
    "migrate": ("-m", "shared_lib.store.migrate"),
    "explain": ("-m", "shared_lib.cli.main", "explain", "ord_1"),
}


def environment(**wrong: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BOXOFFICE_")}
    return plain | {f"BOXOFFICE_{name}": value for name, value in (GOOD | wrong).items()}


def parts_in(text: str) -> set[str]:
    """Pieces of five characters of the secret that stand in the text."""
    return {SECRET[at : at + 5] for at in range(len(SECRET) - 4) if SECRET[at : at + 5] in text}


@pytest.mark.parametrize("what", WRONG)
def test_the_error_names_the_setting_and_no_part_of_a_secret(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, value = WRONG[what]
    for key in [key for key in os.environ if key.startswith("BOXOFFICE_")]:
        monkeypatch.delenv(key)
    for key, given in environment(**{name: value}).items():
        monkeypatch.setenv(key, given)
    with pytest.raises(WrongSettingsError) as caught:
        read_settings()
    error = caught.value
    assert name in str(error) or "together" in str(error)
    assert error.__context__ is None
    assert parts_in(f"{error!r} {error}") == set()


def test_the_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, given in environment().items():
        monkeypatch.setenv(key, given)
    assert parts_in(repr(read_settings()) + str(read_settings())) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_no_process_says_a_secret_when_it_cannot_start(name: str) -> None:
    """Slips that a driver or a parser would quote, in a process that would."""
    wrong = {"DATABASE_URL": f"postgresql://u:{SECRET}@h:{SECRET}/x", "REDIS_URL": SECRET, "WRITERS": SECRET}
    ran = subprocess.run(
        [sys.executable, *PROCESSES[name]], env=environment(**wrong) | {"FUNCTION": "account"},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode != 0
    assert parts_in(ran.stdout + ran.stderr) == set(), ran.stderr
    assert "DATABASE_URL" in ran.stderr + ran.stdout
