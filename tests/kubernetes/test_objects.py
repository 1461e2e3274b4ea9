"""What the stages make themselves: Secrets, pods for people, the order of things."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from infra.compose import env_files
from infra.kubernetes import cluster_secrets
from infra.kubernetes.commands import documents
from infra.kubernetes.reach import TARGETS, compared, expected
from infra.kubernetes.render import in_order
from infra.kubernetes.visitors import pod
from shared_lib.processes import DATABASE, VARIABLES, Role, Secret


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    monkeypatch.setattr(cluster_secrets, "FOLDER", tmp_path)
    return decoded()


def decoded() -> dict[str, dict[str, str]]:
    return {
        one["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in one["data"].items()}
        for one in cluster_secrets.secrets()
    }


def test_there_is_a_secret_of_each_kind_with_the_variables_of_that_kind(
    made: dict[str, dict[str, str]],
) -> None:
    for secret in Secret:
        assert set(made[secret]) == set(VARIABLES[secret])
    for role in Role:
        secret_of_role = made[f"database-{role.removeprefix('boxoffice_')}"]
        assert set(secret_of_role) == {DATABASE}
        assert f"//{role}:" in secret_of_role[DATABASE]
    rest = {"database-admin", "postgres", "sandbox", "redis-acl"}
    assert set(made) == {*Secret, *(f"database-{role.removeprefix('boxoffice_')}" for role in Role), *rest}


def test_they_are_made_once(made: dict[str, dict[str, str]]) -> None:
    assert decoded() == made


def test_no_role_holds_the_password_of_another(made: dict[str, dict[str, str]]) -> None:
    urls = [one[DATABASE] for one in made.values() if DATABASE in one]
    assert len(set(urls)) == len(Role)


def test_redis_knows_the_password_that_its_callers_hold(
    made: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    held, _ = env_files.keep(tmp_path)
    assert made["redis-acl"]["boxoffice.acl"] == env_files.redis_acl(held)
    assert held["REDIS_PASSWORD"] in made["redis"]["BOXOFFICE_REDIS_URL"]
    assert held["REDIS_PASSWORD"] not in made["redis-acl"]["boxoffice.acl"]


def running(kind: str, name: str, component: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app.kubernetes.io/component": component}}, "spec": {}}
    return {"kind": kind, "metadata": {"name": name}, "spec": {"template": template}}


def test_stores_come_first_then_jobs_in_their_order_then_what_needs_them() -> None:
    settings = {"kind": "ConfigMap", "metadata": {"name": "settings"}}
    postgres, sandbox = (
        running("StatefulSet", "postgres", "store"),
        running("Deployment", "sandbox", "neighbour"),
    )
    door, relay = running("Service", "webhook", "door"), running("Deployment", "relay", "worker")
    jobs = [running("Job", name, "job") for name in ("catalog", "extra", "migrate", "roles", "topics")]
    first, ordered, later = in_order([door, relay, *jobs, postgres, settings, sandbox])
    assert first == [postgres, settings, sandbox]
    assert [one["metadata"]["name"] for one in ordered] == ["roles", "migrate", "topics", "catalog", "extra"]
    assert later == [door, relay]


def test_documents_are_read_one_behind_another() -> None:
    told = '{"kind": "A"}\n{"kind": "List", "items": [{"kind": "B"}, {"kind": "C"}]}\n'
    assert [one["kind"] for one in documents(told)] == ["A", "B", "C"]


def test_a_pod_for_people_is_as_restricted_as_any_other_and_holds_what_it_is_given() -> None:
    like = running("Deployment", "sandbox", "neighbour")
    like["spec"]["template"]["spec"]["containers"] = [{"image": "dev.local/boxoffice-neighbours:1"}]
    settings = [{"configMapRef": {"name": "settings-abc"}}]
    spec = pod("demo", like, settings, ["provider"], ["uses-kafka"])["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "dev.local/boxoffice-neighbours:1"
    assert [next(iter(source.values()))["name"] for source in container["envFrom"]] == [
        "settings-abc",
        "provider",
    ]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_only_what_holds_a_key_of_the_provider_may_reach_it() -> None:
    assert [
        name for name in ("create_order", "notify", "relay", "webhook") if expected(name)["sandbox:8080"]
    ] == [
        "create_order",
        "webhook",
    ]
    assert not any(expected("clock").values())


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({}, 0, "Every connection is as expected"),
        ({"sandbox:8080": True}, 1, "**open**"),
        ({"mail:5000": False}, 1, "**closed**"),
    ],
)
def test_a_way_too_many_and_a_way_too_few_are_both_seen(
    changed: dict[str, bool], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"notify": expected("notify") | changed, "clock": expected("clock")}
    assert compared(found) == code
    assert words in capsys.readouterr().out


def test_a_cluster_that_enforces_nothing_is_named_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert compared({"clock": dict.fromkeys(TARGETS, True)}) == 1
    assert "enforces no NetworkPolicies" in capsys.readouterr().out
