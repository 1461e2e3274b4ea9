"""docker-compose.yml without Docker: every door is there, nobody is published but NGINX, nobody may do more than it must."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # the tests' only use of it

from infra.compose import env_files
from infra.local.routes import EVENTS
from infra.local.stack import DOORS
from infra.nginx.doors import service
from shared_lib.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Each with its reason beside it in the file.
STARTS_AS_ROOT = {"postgres"}
WRITES_TO_ITS_ROOT = {"kafka"}
OURS = [name for name, one in SERVICES.items() if one["image"].startswith("boxoffice")]
WITHOUT_HEALTH = {"migrate", "topics", "catalog", "demo", "relay", "clock", "tunnel"}


def test_every_function_is_a_container_of_the_one_image() -> None:
    doors = {
        name: one["environment"]["FUNCTION"]
        for name, one in SERVICES.items()
        if "FUNCTION" in one.get("environment", {})
    }
    assert doors == {service(door): door for door in DOORS}
    assert {SERVICES[name]["image"] for name in doors} == {"boxoffice:local"}
    assert all(SERVICES[name]["healthcheck"]["test"] == ["CMD", "ready"] for name in doors)


def test_nobody_is_published_but_nginx_on_loopback() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published == {"nginx": ["127.0.0.1:${BOXOFFICE_PORT:-8080}:8080"]}
    assert not [name for name, one in SERVICES.items() if one.get("network_mode") or one.get("privileged")]


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_may_do_more_than_it_must(name: str) -> None:
    one = SERVICES[name]
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["read_only"] is (name not in WRITES_TO_ITS_ROOT)
    assert one["mem_limit"]
    assert one["pids_limit"]
    assert one["logging"]["options"]["max-size"]
    assert ("cap_add" in one) == (name in STARTS_AS_ROOT)
    images_that_are_not_root = ("boxoffice", "apache/kafka", "ngrok/")
    if name not in STARTS_AS_ROOT and not one["image"].startswith(images_that_are_not_root):
        assert one["user"] not in ("root", "0")
    assert ("healthcheck" in one and not one["healthcheck"].get("disable")) == (name not in WITHOUT_HEALTH)


def test_our_image_runs_as_nobody_in_particular_with_uvicorn_as_process_one() -> None:
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    stages = re.split(r"^FROM .* AS (\S+)$", dockerfile, flags=re.MULTILINE)
    last_user = {
        name: re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1:]
        for name, text in zip(stages[1::2], stages[2::2], strict=True)
    }
    assert last_user["boxoffice"] == last_user["neighbours"] == ["10001"]
    assert (
        'CMD ["uvicorn", "shared_lib.asgi:app", "--lifespan", "on", "--timeout-keep-alive", "95"'
        in dockerfile
    )
    assert "--require-hashes" in dockerfile
    assert "COPY infra " not in stages[stages.index("boxoffice") + 1]


def test_images_of_others_are_pinned_to_a_version() -> None:
    pinned = {one["image"] for name, one in SERVICES.items() if name not in OURS}
    assert all(re.fullmatch(r"[a-z/]+:\d[\w.-]*", image) for image in pinned), pinned
    (moto,) = re.findall(r"^moto==(\S+) \\$", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    assert f"motoserver/moto:{moto}" in pinned


def test_events_go_where_the_local_stack_sends_them() -> None:
    routes = json.loads(COMPOSE["x-settings"]["BOXOFFICE_EVENT_ROUTES"])
    assert routes == {prefix: f"http://{service(door)}:8080" for prefix, door in EVENTS.items()}


def test_every_setting_is_one_and_together_they_are_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env_files.make(tmp_path)
    lines = [
        line
        for name in ("boxoffice.env", "events.env")
        for line in (tmp_path / name).read_text().splitlines()
    ]
    secret = dict(line.split("=", 1) for line in lines)
    given = {
        name: value for name, value in COMPOSE["x-settings"].items() if name.startswith("BOXOFFICE_")
    } | secret
    known = {f"BOXOFFICE_{name.upper()}" for name in Settings.model_fields}
    assert given.keys() <= known

    for name, value in given.items():
        monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*)\}", r"\1", value))
    settings = Settings()
    assert settings.may_return_to(settings.public_url + "/thanks")
    assert settings.kafka_bootstrap == ("kafka:9092",)


def test_connections_of_all_fit_into_postgres() -> None:
    settings = COMPOSE["x-settings"]
    pool = int(settings["BOXOFFICE_WRITERS"]) + int(settings["BOXOFFICE_READERS"])
    pools = [name for name, one in SERVICES.items() if "FUNCTION" in one.get("environment", {})] + [
        "relay",
        "clock",
    ]
    session, migration, people, kept_back = 1, 1, 5, 3
    (most,) = re.findall(r"max_connections=(\d+)", " ".join(SERVICES["postgres"]["command"]))
    assert len(pools) * pool + session + migration + people + kept_back <= int(most)


def test_secrets_are_made_once_for_their_owner_alone_and_shared_with_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    assert env_files.make(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert not env_files.make(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}

    readers: dict[str, set[str]] = {}
    for name, one in SERVICES.items():
        for file in one.get("env_file", []):
            readers.setdefault(Path(file).name, set()).add(name)
    assert readers["postgres.env"] == {"postgres"}
    assert readers["sandbox.env"] == {"sandbox"}
    assert set(first) == set(readers)
    takers = {service(door) for door in EVENTS.values()}
    assert readers["events.env"] == takers | {"relay", "clock", "trigger"}
    # The provider, the Auth stand-in and NGINX know nothing of our database, and have no way to it.
    for stranger in ("sandbox", "auth", "nginx", "tunnel"):
        assert stranger not in readers["boxoffice.env"]
        assert SERVICES[stranger]["networks"] == ["front"]
    assert {name for name, one in SERVICES.items() if one["networks"] == ["back"]} >= {
        "postgres",
        "redis",
        "kafka",
    }
    assert COMPOSE["networks"]["back"]["internal"] is True


def test_no_secret_stands_in_what_is_committed() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"whsec_|sk_sandbox|POSTGRES_PASSWORD|NGROK_AUTHTOKEN: (?!\$\{)", text)
    assert ".local/" in (ROOT / ".gitignore").read_text()


def test_the_reason_stands_beside_every_exception() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.search(r"# .*\n    read_only: false", text)
    assert re.search(r"# .*\n    cap_add:", text)
