"""docker-compose.yml without Docker: every door is there, NGINX alone is published, no service may do more than it must."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # the tests' only use of it

from infra.compose import env_files
from infra.compose.docker import images
from infra.nginx.doors import service
from shared_lib.contract.routes import DOORS
from shared_lib.processes import DATABASE, PROCESSES, VARIABLES, Role, Secret
from shared_lib.settings import Settings
from shared_lib.store.access.__main__ import ADMIN_URL, password_setting

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Each with its reason beside it in the file.
STARTS_AS_ROOT = {"postgres"}
WRITES_TO_ITS_ROOT = {"kafka"}
IMAGE = re.compile(r"\$\{(\w+)_IMAGE:-(.+)\}")
OURS = [name for name, one in SERVICES.items() if one["image"].startswith("boxoffice")]
WITHOUT_HEALTH = {"roles", "migrate", "topics", "catalog", "demo", "cli", "relay", "clock", "tunnel"}


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
    images_that_are_not_root = ("boxoffice", "${KAFKA_IMAGE", "${NGROK_IMAGE")
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
    assert 'CMD ["serve"]\n' in dockerfile
    last_line = (ROOT / "infra/docker/serve").read_text().splitlines()[-1]
    assert last_line.startswith("exec python -m functions ")
    assert (ROOT / "infra/docker/serve").stat().st_mode & 0o111
    assert "UVICORN_TIMEOUT_KEEP_ALIVE=95 UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN=25\n" in dockerfile
    assert "--require-hashes" in dockerfile
    assert "COPY infra " not in stages[stages.index("boxoffice") + 1]


def test_every_image_of_others_is_named_in_one_file_where_a_digest_may_stand() -> None:
    """The defaults in docker-compose.yml and the Dockerfile are those of infra/docker/images.env."""
    named = {name: one["image"] for name, one in SERVICES.items() if name not in OURS}
    build = COMPOSE["x-build"]["args"]["PYTHON_IMAGE"]
    matches = [IMAGE.fullmatch(image) for image in [*named.values(), build]]
    assert all(matches), named
    assert images() == {f"{match[1]}_IMAGE": match[2] for match in matches if match}
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    assert f"ARG PYTHON_IMAGE={images()['PYTHON_IMAGE']}\n" in dockerfile
    stages = set(re.findall(r" AS (\S+)$", dockerfile, re.MULTILINE)) | {"${PYTHON_IMAGE}"}
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) <= stages
    assert set(re.findall(r"--from=(\S+)", dockerfile)) <= stages


def test_images_of_others_are_pinned_to_a_version() -> None:
    assert all(
        re.fullmatch(r"[a-z/]+:\d[\w.-]*(@sha256:[0-9a-f]{64})?", image) for image in images().values()
    )
    (moto,) = re.findall(r"^moto==(\S+) \\$", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    assert images()["MOTO_IMAGE"].startswith(f"motoserver/moto:{moto}")


def held(service: str, folder: Path) -> dict[str, str]:
    """The environment of a container: what the file says, and its env_files."""
    one, found = SERVICES[service], dict[str, str]()
    for file in one.get("env_file", []):
        assert file.startswith(".local/compose/")
        found |= dict(line.split("=", 1) for line in (folder / Path(file).name).read_text().splitlines())
    plain = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for name, value in one.get("environment", {}).items()
    }
    assert not found.keys() & plain.keys()
    return found | plain


def secrets_of(folder: Path) -> set[str]:
    """Every value that is in a file of secrets, the passwords inside addresses among them."""
    kept = set(json.loads((folder / "secrets.json").read_text()).values())
    return kept | {"any-id-for-moto", "any-key-for-moto"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_holds_exactly_the_secrets_on_its_list(tmp_path: Path, name: str) -> None:
    env_files.make(tmp_path)
    kept = json.loads((tmp_path / "secrets.json").read_text())
    environment = held(name, tmp_path)
    found = {
        secret for secret in secrets_of(tmp_path) if any(secret in value for value in environment.values())
    }
    roles = {role: kept[password_setting(role)] for role in Role}
    process = name.replace("-", "_")
    if process in PROCESSES:
        needs = PROCESSES[process]
        listed_secrets = needs.secrets - (
            {Secret.EVENT_SECRETS} if name == "relay" else set()
        )  # it writes to Kafka
        every = {
            key: value for file in tmp_path.glob("*.env") for key, _, value in map(split, lines_of(file))
        }
        listed_secrets = listed_secrets - {Secret.KAFKA}  # which asks for no password here
        listed = {every[variable] for secret in listed_secrets for variable in VARIABLES[secret]}
        wanted = {secret for secret in secrets_of(tmp_path) if any(secret in value for value in listed)}
        wanted |= {roles[needs.role]} if needs.role else set()
        assert environment.get(DATABASE, "").startswith(f"postgresql://{needs.role}:" if needs.role else "")
    else:
        wanted = {
            "roles": {kept["POSTGRES_PASSWORD"], *roles.values()},
            "postgres": {kept["POSTGRES_PASSWORD"]},
            "catalog": {roles[Role.OPERATOR]},
            "demo": {roles[Role.OPERATOR], kept["SANDBOX_API_KEY"], kept["CARD_PEPPER"]},
            "sandbox": {kept["SANDBOX_API_KEY"], kept["SANDBOX_WEBHOOK_SECRET"]},
        }.get(name, set())
    assert found == wanted


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines()


def split(line: str) -> tuple[str, str, str]:
    return line.partition("=")


def test_the_passwords_of_the_roles_are_those_in_their_addresses(tmp_path: Path) -> None:
    env_files.make(tmp_path)
    admin = held("roles", tmp_path)
    assert admin[ADMIN_URL].startswith("postgresql://boxoffice:")
    for role in Role:
        (line,) = lines_of(tmp_path / env_files.env_file(role))
        password = admin[password_setting(role)]
        assert line == f"{DATABASE}=postgresql://{role}:{password}@postgres:5432/boxoffice"


def test_redis_lets_in_only_who_knows_the_password_in_the_address(tmp_path: Path) -> None:
    env_files.make(tmp_path)
    (url,) = lines_of(tmp_path / "redis.env")
    password = url.split("@")[0].split(":")[-1]
    default, ours = lines_of(tmp_path / "redis.acl")
    assert default == "user default reset on nopass -@all +ping"
    assert f"#{hashlib.sha256(password.encode()).hexdigest()} " in ours
    assert password not in ours
    redis = SERVICES["redis"]
    assert redis["command"][-2] == "--aclfile"
    assert redis["volumes"] == [f"./.local/compose/redis.acl:{redis['command'][-1]}:ro"]


def test_every_setting_is_one_and_together_they_are_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env_files.make(tmp_path)
    known = {f"BOXOFFICE_{name.upper()}" for name in Settings.model_fields}
    for name in PROCESSES:
        environment = held(name.replace("_", "-"), tmp_path)
        given = {key: value for key, value in environment.items() if key.startswith("BOXOFFICE_")}
        assert given.keys() <= known
        with monkeypatch.context() as patched:
            for key, value in given.items():
                patched.setenv(key, value)
            settings = Settings()
        assert settings.page_to_return_to(settings.public_url + "/thanks")
        assert settings.kafka_bootstrap == ("kafka:9092",)


def test_connections_of_all_fit_into_postgres() -> None:
    settings = COMPOSE["x-settings"]
    pool = int(settings["BOXOFFICE_WRITERS"]) + int(settings["BOXOFFICE_READERS"])
    pools = [name for name, one in SERVICES.items() if "FUNCTION" in one.get("environment", {})] + ["relay"]
    session, migration, people, kept_back = 1, 1, 5, 3
    (most,) = re.findall(r"max_connections=(\d+)", " ".join(SERVICES["postgres"]["command"]))
    assert len(pools) * pool + session + migration + people + kept_back <= int(most)


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "compose"
    assert env_files.make(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert not env_files.make(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes.pop(env_files.REDIS_ACL) == 0o644  # hashes; Redis runs as a user of its own
    assert set(modes.values()) == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    used = {Path(file).name for one in SERVICES.values() for file in one.get("env_file", [])}
    # Support is for people: psql in PostgreSQL's container asks for no password.
    assert used | {"support.env"} == {name for name in first if name.endswith(".env")}


def test_what_an_older_version_kept_stays_so_that_its_database_still_opens(tmp_path: Path) -> None:
    (tmp_path / "postgres.env").write_text("POSTGRES_PASSWORD=old\n")
    (tmp_path / "sandbox.env").write_text("SANDBOX_API_KEY=sk_old\nSANDBOX_WEBHOOK_SECRET=whsec_old\n")
    (tmp_path / "boxoffice.env").write_text("BOXOFFICE_DATABASE_URL=everything-for-everyone\n")
    assert not env_files.make(tmp_path)
    assert "BOXOFFICE_SANDBOX_API_KEY=sk_old" in lines_of(tmp_path / "provider.env")
    assert "postgresql://boxoffice:old@" in (tmp_path / "admin.env").read_text()
    assert not (tmp_path / "boxoffice.env").exists()


def test_each_container_is_only_on_the_networks_it_needs() -> None:
    networks = {name: set(one["networks"]) for name, one in SERVICES.items()}
    both = {name for name, nets in networks.items() if nets == {"front", "back"}}
    assert both == {service(door) for door in DOORS} | {"demo", "cli"}
    assert {name for name, nets in networks.items() if nets == {"front"}} == {
        "nginx", "auth", "sandbox", "clock", "tunnel",
    }  # fmt: skip
    assert COMPOSE["networks"]["back"]["internal"] is True


def test_no_secret_stands_in_what_is_committed() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(
        r"whsec_|sk_sandbox|_PASSWORD|redis://|postgresql://|NGROK_AUTHTOKEN: (?!\$\{)", text
    )
    assert ".local/" in (ROOT / ".gitignore").read_text()


def test_the_reason_stands_beside_every_exception() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.search(r"# .*\n    read_only: false", text)
    assert re.search(r"# .*\n    cap_add:", text)


def test_a_process_ends_before_the_stores_it_speaks_to() -> None:
    """Named directly: where only a job that has ended stands between them, docker-compose 1.29 stops both at once."""
    doors = [name for name, one in SERVICES.items() if "FUNCTION" in one.get("environment", {})]
    spoken_to = {name: {"postgres"} for name in doors}
    spoken_to |= {"notify": {"postgres", "mail"}, "relay": {"postgres", "kafka"}, "trigger": {"kafka"}}
    assert {name: stores - set(SERVICES[name]["depends_on"]) for name, stores in spoken_to.items()} == {
        name: set() for name in spoken_to
    }


def test_every_volume_has_a_name_by_which_it_is_forgotten() -> None:
    assert not [volume for one in SERVICES.values() for volume in one.get("volumes", []) if ":" not in volume]
