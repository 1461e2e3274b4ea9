"""The manifests of k8s/ without Kubernetes: what follows from other files does, and each process holds its own secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # as in tests/compose

from infra.compose.docker import images
from infra.compose.env_files import env_file
from infra.kubernetes import generate
from infra.nginx.doors import service
from shared_lib.contract.routes import DOORS, EVENT_ROUTES, HTTP_DOORS
from shared_lib.processes import PROCESSES, Needs, Role, Secret
from shared_lib.settings import Settings

K8S = generate.ROOT / "k8s"
# Which are no process of shared_lib/processes.py, and what they hold.
OTHERS = {
    "roles": {"database-admin"},
    "catalog": {"database-operator"},
    "sandbox": {"sandbox"},
    "postgres": {"postgres"},
    "redis": {"redis-acl"},
}


def documents(folder: str) -> list[dict[str, Any]]:
    return [
        one
        for path in sorted((K8S / folder).rglob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text())
        if isinstance(one, dict)
    ]


PROGRAMS = {
    one["metadata"]["name"]: one
    for one in [*documents("base"), *documents("overlays/kind")]
    if "template" in one.get("spec", {})
}


def held(program: dict[str, Any]) -> set[str]:
    """The Secrets that any container or volume of it names."""
    text = json.dumps(program)
    return set(re.findall(r'"secretRef": \{"name": "([\w-]+)"', text)) | set(
        re.findall(r'"secretName": "([\w-]+)"', text)
    )


def listed(name: str, needs: Needs) -> set[str]:
    """shared_lib/processes.py, in the names of Secrets."""
    kinds = needs.secrets - ({Secret.EVENT_SECRETS} if name == "relay" else set())  # it writes to Kafka
    return set(kinds) | ({f"database-{env_file(needs.role).removesuffix('.env')}"} if needs.role else set())


def test_every_door_is_there_once_and_private_unless_people_call_it() -> None:
    doors = {
        name: one for name, one in PROGRAMS.items() if one["apiVersion"].startswith("serving.knative.dev")
    }
    named = {name: one["spec"]["template"]["spec"]["containers"][0]["env"] for name, one in doors.items()}
    assert named == {service(door): [{"name": "FUNCTION", "value": door}] for door in DOORS}
    seen = {name: one["metadata"]["labels"] for name, one in doors.items()}
    private = {name for name, labels in seen.items() if "networking.knative.dev/visibility" in labels}
    assert private == {service(door) for door in set(DOORS) - HTTP_DOORS}
    assert {seen[name]["networking.knative.dev/visibility"] for name in private} == {"cluster-local"}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_each_process_holds_exactly_the_secrets_on_its_list(name: str) -> None:
    needs = PROCESSES.get(name.replace("-", "_"))
    assert held(PROGRAMS[name]) == (listed(name, needs) if needs else OTHERS.get(name, set()))


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_each_process_has_an_account_of_its_own_that_the_kubernetes_api_does_not_know(name: str) -> None:
    accounts = {
        one["metadata"]["name"]: one
        for one in [*documents("base"), *documents("overlays/kind")]
        if one.get("kind") == "ServiceAccount"
    }
    assert PROGRAMS[name]["spec"]["template"]["spec"]["serviceAccountName"] == name
    assert accounts[name]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_labels_open_the_network_to_what_a_process_uses_and_to_nothing_else(name: str) -> None:
    """Policies select by these labels. every-door.yaml gives all doors uses-postgres."""
    labels = PROGRAMS[name]["spec"]["template"]["metadata"]["labels"]
    opened = {key.removeprefix("boxoffice/") for key in labels if key.startswith("boxoffice/")}
    secrets = held(PROGRAMS[name]) if name not in ("postgres", "redis") else set()
    wanted = {"uses-postgres"} if any(one.startswith("database-") for one in secrets) else set()
    wanted |= {"uses-redis"} if "redis" in secrets else set()
    wanted |= {"uses-kafka"} if "kafka" in secrets else set()
    wanted |= {"reaches-provider"} if "provider" in secrets else set()
    wanted |= {"calls-doors"} if name in ("gateway", "trigger", "clock") else set()
    if name.replace("-", "_") in DOORS:
        opened.add("uses-postgres")
    assert opened == wanted


def test_every_secret_of_a_process_has_a_kind() -> None:
    kinds = {*Secret, *(f"database-{env_file(role).removesuffix('.env')}" for role in Role)}
    own = {"database-admin", "postgres", "sandbox", "redis-acl"}
    assert set().union(*map(held, PROGRAMS.values())) <= kinds | own


def test_events_are_delivered_to_the_names_that_doors_answer_to() -> None:
    (line,) = [line for line in generate.routes().splitlines() if not line.startswith("#")]
    routes = json.loads(line.partition("=")[2])
    assert routes == {
        kind: f"http://{service(door)}.{generate.DOMAIN}" for kind, door in EVENT_ROUTES.items()
    }


def test_production_does_not_show_the_sandbox() -> None:
    assert "sandbox" in generate.nginx(sandbox=True)
    production = generate.nginx(sandbox=False)
    assert not re.search(r"sandbox|/thanks|/account |/pay/", production)
    kept = [line for line in production.splitlines() if line.strip().startswith("location")]
    every = [
        line for line in generate.nginx(sandbox=True).splitlines() if line.strip().startswith("location")
    ]
    places = ("/pay/", "= /thanks", "= /account")
    assert set(every) - set(kept) == {f"        location {place} {{" for place in places}


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_door_is_called_by_the_host_it_answers_to(sandbox: bool) -> None:
    text = generate.nginx(sandbox=sandbox)
    assert "127.0.0.11" not in text
    places = re.findall(r"location /v1\S* \{.*?\n        \}", text, re.DOTALL)
    assert len(places) == 2
    for place in places:
        assert f"proxy_set_header Host $door.{generate.DOMAIN};" in place
        assert f"proxy_pass http://$door.{generate.DOMAIN}$request_uri;" in place


def settings_of_kind() -> dict[str, str]:
    files = (K8S / "base/settings.env", K8S / "base/routes.env", K8S / "overlays/kind/settings.env")
    lines = [line for file in files for line in file.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_every_setting_is_one_and_together_they_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings_of_kind()
    ours = {name for name in given if name.startswith("BOXOFFICE_")}
    assert ours <= {f"BOXOFFICE_{name.upper()}" for name in Settings.model_fields}
    assert given.keys() - ours == {"AWS_EC2_METADATA_DISABLED"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    own = Settings()
    assert own.page_to_return_to(own.public_url + "/thanks")
    assert own.kafka_bootstrap == ("kafka:9092",)
    assert own.trigger_instance == ""  # workers/trigger.yaml says why


def test_no_secret_stands_in_a_setting_or_a_manifest() -> None:
    text = "".join(path.read_text() for path in K8S.rglob("*") if path.is_file() and "nginx" not in path.name)
    # An address may show where its password will stand: {{ .password }}.
    assert not re.search(r"whsec_|sk_sandbox|://[^\s:/@]*:[^\s@{]+@|^kind: Secret$", text, re.MULTILINE)


def test_images_of_others_are_those_of_containers() -> None:
    kind = yaml.safe_load((K8S / "overlays/kind/kustomization.yaml").read_text())["images"]
    named = {f"{one['name']}:{one['newTag']}" for one in kind if not one["name"].startswith("boxoffice")}
    unused = {"PYTHON_IMAGE", "NGROK_IMAGE"}
    assert named == {image for name, image in images().items() if name not in unused}


def test_a_change_of_nginx_that_the_generator_does_not_know_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    conf = tmp_path / "nginx.conf"
    text = generate.NGINX_CONF.read_text()
    monkeypatch.setattr(generate, "NGINX_CONF", conf)
    for changed in (
        text.replace("resolver 127.0.0.11", "resolver 127.0.0.1"),
        text.replace("proxy_set_header Host $host;", "", 1),
        text.replace("location /pay/ {", "location ^~ /pay/ {"),
    ):
        conf.write_text(changed)
        with pytest.raises(ValueError, match=r"nginx\.conf has"):
            generate.nginx(sandbox=False)
