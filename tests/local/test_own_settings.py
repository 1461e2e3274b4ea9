"""Settings of your own for `make up`: the environment before .env, and never those that connect the stack's parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.local.own_settings import WIRED, own_settings, refuse_wrong, servers_of, with_origins
from infra.local.processes import StackError
from shared_lib.processes import VARIABLES
from shared_lib.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def written(folder: Path, text: str) -> Path:
    path = folder / ".env"
    path.write_text(text)
    return path


def test_the_environment_comes_before_the_file_and_empty_values_count_for_nothing(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "# mine\nBOXOFFICE_OPEN_ORDERS_MAX=2\nexport BOXOFFICE_READERS=3\nBOXOFFICE_MAIL_FROM='Kino $HOME <a@kino.example>'\n"
        "BOXOFFICE_WRITERS=\nHOME=/elsewhere\n",
    )
    own = own_settings(file, {"BOXOFFICE_READERS": "5", "BOXOFFICE_OPEN_ORDERS_MAX": "", "PATH": "/bin"})
    assert own.used == {
        "BOXOFFICE_OPEN_ORDERS_MAX": "2",
        "BOXOFFICE_READERS": "5",
        "BOXOFFICE_MAIL_FROM": "Kino $HOME <a@kino.example>",
    }
    assert own.notes == ()
    assert own_settings(tmp_path / "missing", {}).used == {}


def test_what_connects_the_stack_stays_and_a_misspelled_name_is_said(tmp_path: Path) -> None:
    given = {
        "BOXOFFICE_DATABASE_URL": "x",
        "BOXOFFICE_KAFKA_BOOTSTRAP": "y:1",
        "BOXOFFICE_EVENT_ROUTES": "{}",
    }
    own = own_settings(tmp_path / "none", given | {"BOXOFFICE_OPEN_ORDER_MAX": "2", "BOXOFFICE_XYZ": "1"})
    assert own.used == {}
    assert own.notes == (
        "BOXOFFICE_OPEN_ORDER_MAX is no setting; did you mean BOXOFFICE_OPEN_ORDERS_MAX?",
        "BOXOFFICE_XYZ is no setting; .env.example lists them",
        "Not used, because the stack has its own: BOXOFFICE_DATABASE_URL, BOXOFFICE_EVENT_ROUTES and 1 more",
    )


def test_a_copy_of_the_example_can_be_used_as_it_is() -> None:
    own = own_settings(EXAMPLE, {})
    assert own.used["BOXOFFICE_OPEN_ORDERS_MAX"] == "10"
    assert [note for note in own.notes if "no setting" in note] == []
    refuse_wrong(
        {**own.used, "BOXOFFICE_ENVIRONMENT": "local", "BOXOFFICE_SANDBOX_URL": "http://127.0.0.1:1"}
    )


def test_every_wired_name_is_a_setting_and_each_secret_of_the_stack_is_wired() -> None:
    names = {f"BOXOFFICE_{name.upper()}" for name in Settings.model_fields}
    assert names >= WIRED
    ours = {name for of_one in VARIABLES.values() for name in of_one if name.startswith("BOXOFFICE_")}
    assert ours - WIRED == {"BOXOFFICE_CARD_PEPPER"}


def test_a_wrong_value_stops_the_start_names_the_setting_and_changes_no_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOXOFFICE_KAFKA_SECURITY", "of another stack")
    before = dict(os.environ)
    settings = {"BOXOFFICE_ENVIRONMENT": "local", "BOXOFFICE_SANDBOX_URL": "http://127.0.0.1:1"}
    with pytest.raises(StackError, match=r"(?s)BOXOFFICE_OPEN_ORDERS_MAX: .*integer.*Correct it in \.env"):
        refuse_wrong({**settings, "BOXOFFICE_OPEN_ORDERS_MAX": "many"})
    assert dict(os.environ) == before


def test_origins_are_added_to_the_gateway_once() -> None:
    gateway = "http://127.0.0.1:8100"
    assert with_origins(gateway, "") == gateway
    assert with_origins(gateway, f"http://localhost:5173, {gateway},") == f"{gateway},http://localhost:5173"


def test_servers_of_the_file_count_where_the_environment_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://mine")
    monkeypatch.setenv("DATABASE_URL", "x")
    monkeypatch.delenv("DATABASE_URL")
    servers_of(
        written(tmp_path, "DATABASE_URL=postgresql://theirs\nREDIS_URL=redis://theirs\nPATH=/nowhere\n")
    )
    assert (os.environ["DATABASE_URL"], os.environ["REDIS_URL"]) == ("postgresql://theirs", "redis://mine")
    assert os.environ["PATH"] != "/nowhere"
