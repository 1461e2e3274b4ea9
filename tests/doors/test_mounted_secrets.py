"""Secrets as files: each process takes those on its own list, says what is wrong with one, and shows none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from shared_lib.mounted import BYTES_MAX, DIRECTORY, UnreadableSecretError, hold_mounted_secrets
from shared_lib.processes import DATABASE, PROCESSES, VARIABLES, variables_of
from shared_lib.settings import WrongSettingsError, settings_of, take_mounted
from shared_lib.settings import settings as cached
from tests.doors.running import door_process
from tests.kit.answers import order_body
from tests.kit.cinema import Cinema
from tests.kit.waiting import until

ROOT: Final = Path(__file__).parents[2]
SECRET: Final = "postgresql://boxoffice_door:hunter2-9Wv@127.0.0.1:1/x"
ALL: Final = {DATABASE, *(name for names in VARIABLES.values() for name in names)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the secrets lie. None is in the environment, and none stays there."""
    for name in [name for name in os.environ if name.startswith("BOXOFFICE_") or name in ALL]:
        monkeypatch.delenv(name)
    for name in ALL:  # whatever a test puts there is taken away at its end
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    return tmp_path


def in_words(name: str) -> str:
    return name.lower().replace("_", "-")


@pytest.mark.parametrize("spelled", [str, in_words])
@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_takes_what_is_on_its_list_and_nothing_else(
    folder: Path, process: str, spelled: Callable[[str], str]
) -> None:
    for name in ALL:
        (folder / spelled(name)).write_text(f"value of {name}\n")
    hold_mounted_secrets(process)
    held = {name for name in ALL if os.environ[name]}
    assert held == set(variables_of(process))
    assert all(os.environ[name] == f"value of {name}" for name in held)
    hold_mounted_secrets(process)  # again: nothing differs


def test_files_of_a_kubernetes_volume_are_links(folder: Path) -> None:
    data = folder / "..2026_11_28_00_00_00.1"
    data.mkdir()
    (data / DATABASE).write_text(SECRET)
    (folder / "..data").symlink_to(data.name)
    (folder / DATABASE).symlink_to(f"..data/{DATABASE}")
    hold_mounted_secrets("account")
    assert os.environ[DATABASE] == SECRET


@pytest.mark.parametrize(
    ("content", "held"),
    [
        (b"a", "a"),
        (b"a\n", "a"),
        (b"a\r\n", "a"),
        (b" a ", " a "),
        ("пароль".encode(), "пароль"),
        (b"", ""),
        (b"\n", ""),
        (b"x" * BYTES_MAX, "x" * BYTES_MAX),
    ],
)
def test_a_file_holds_one_line(folder: Path, content: bytes, held: str) -> None:
    (folder / DATABASE).write_bytes(content)
    hold_mounted_secrets("account")
    assert os.environ[DATABASE] == held


@pytest.mark.parametrize(
    "content",
    [b"hunter2\nhunter2", b"hunter2\n\n", b"hunter2\0", b"\xffhunter2", b"hunter2" * BYTES_MAX],
    ids=["two lines", "an empty line", "NUL", "no text", "too much"],
)
def test_what_is_no_line_is_refused_by_its_name(folder: Path, content: bytes) -> None:
    (folder / DATABASE).write_bytes(content)
    with pytest.raises(UnreadableSecretError) as caught:
        hold_mounted_secrets("account")
    assert str(caught.value).startswith(f"{DATABASE}: ")
    assert (
        "hunter2"
        not in f"{caught.value!r} {caught.value.__context__ if not caught.value.__suppress_context__ else ''}"
    )


def test_a_secret_that_is_given_twice_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / DATABASE).write_text(SECRET)
    monkeypatch.setenv(DATABASE, "postgresql://other")
    with pytest.raises(WrongSettingsError, match="they differ"):
        take_mounted("account")
    monkeypatch.setenv(DATABASE, SECRET)
    take_mounted("account")
    (folder / in_words(DATABASE)).write_text(SECRET)
    with pytest.raises(WrongSettingsError, match="two files"):
        take_mounted("account")


def test_a_directory_that_is_not_there_is_an_error_and_none_is_named_by_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY, str(folder / "nowhere"))
    with pytest.raises(WrongSettingsError, match=f"{DIRECTORY}: there is no such directory"):
        take_mounted("account")
    monkeypatch.setenv(DIRECTORY, "")
    take_mounted("account")
    assert os.environ[DATABASE] == ""


def test_the_settings_of_a_process_hold_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "boxoffice-database-url").write_text(SECRET)
    (folder / "boxoffice-sandbox-api-key").write_text("sk_sandbox_1")
    monkeypatch.setenv("BOXOFFICE_ENVIRONMENT", "local")
    monkeypatch.setenv("BOXOFFICE_SANDBOX_URL", "http://127.0.0.1:1")
    cached.cache_clear()
    try:
        own = settings_of("renew")
    finally:
        cached.cache_clear()
    assert (own.database_url, own.sandbox_api_key.get_secret_value()) == (SECRET, "sk_sandbox_1")


@pytest.mark.parametrize(
    "module", ["shared_lib.store.migrate", "shared_lib.cli.main", "shared_lib.workers.relay"]
)
def test_other_processes_look_into_the_directory_too(folder: Path, module: str) -> None:
    (folder / DATABASE).write_bytes(b"hunter2\nhunter2")
    ran = subprocess.run(
        [sys.executable, "-m", module, *(["doctor"] if "cli" in module else [])],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ran.returncode != 0
    assert f"{DATABASE}: its file does not hold one line" in ran.stdout + ran.stderr
    assert "hunter2" not in ran.stdout + ran.stderr


async def test_a_door_takes_orders_with_secrets_from_files(cinema: Cinema, tmp_path: Path) -> None:
    held = cinema.rt.settings
    for name, value in {
        "boxoffice-database-url": held.database_url,
        "boxoffice-redis-url": held.redis_url or "",
        "boxoffice-sandbox-api-key": held.sandbox_api_key.get_secret_value(),
        "boxoffice-event-secrets": held.event_secrets[0].get_secret_value(),
    }.items():
        (tmp_path / name).write_text(value + "\n")
    without = dict.fromkeys(variables_of("create_order"), "")
    async with door_process(held, "create_order", **without, **{DIRECTORY: str(tmp_path)}) as door:
        await until(door.ready)
        headers = {"authorization": f"Bearer {cinema.token()}", "idempotency-key": "k"}
        answer = await door.http.post(door.url + "/v1/orders", json=order_body(), headers=headers)
        assert answer.status_code == 201, answer.text
