"""What `make kind_up` makes is what the pods of the kind overlay name: a pod that names another Secret or key never starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from infra.kubernetes import cluster_secrets
from tests.k8s.manifests import KIND, Manifests, Pod, at, rendered
from tests.k8s.rules.secrets import CARRIED

pytestmark = pytest.mark.k8s

Made = Mapping[str, frozenset[str]]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(cluster_secrets, "FOLDER", tmp_path)
    return {one["metadata"]["name"]: frozenset(one["data"]) for one in cluster_secrets.secrets()}


def unmade(manifests: Manifests, made: Made) -> list[str]:
    return [complaint for pod in manifests.pods for complaint in _of_pod(pod, made)]


def _of_pod(pod: Pod, made: Made) -> Iterator[str]:
    for name, keys in _named(pod):
        if name not in made:
            yield f"{pod.name}: nothing makes Secret {name}"
        yield from (f"{pod.name}: Secret {name} has no {key}" for key in keys - made.get(name, keys))


def _named(pod: Pod) -> Iterator[tuple[str, frozenset[str]]]:
    """Each Secret of a pod, and the keys that are wanted of it."""
    folders = {at(one, "secret", "secretName"): one["name"] for one in pod.volumes if "secret" in one}
    for container in pod.containers:
        for source in container.get("envFrom") or []:
            if name := at(source, "secretRef", "name"):
                yield name, frozenset()
        for one in container.get("env") or []:
            if key := at(one, "valueFrom", "secretKeyRef"):
                yield key["name"], frozenset([key["key"]])
        words = [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]
        for secret, volume in folders.items():
            for mount in container.get("volumeMounts") or []:
                if mount["name"] == volume:
                    files = [word.removeprefix(f"{mount['mountPath']}/") for word in words]
                    yield secret, frozenset(set(files) - set(words))


def test_every_secret_that_a_pod_names_is_made(made: Made) -> None:
    assert unmade(rendered(KIND), made) == []


def test_what_is_made_carries_what_the_rules_take_it_for(made: Made) -> None:
    assert {name: frozenset(CARRIED[name]) for name in CARRIED} == {name: made.get(name) for name in CARRIED}


def test_another_name_and_another_file_are_seen(made: Made) -> None:
    planted = rendered(KIND).planted()
    planted.pod("webhook").containers[0]["envFrom"].append({"secretRef": {"name": "webhooks"}})
    args = planted.pod("redis").containers[0]["args"]
    args[-1] = args[-1].replace("boxoffice.acl", "redis.acl")

    assert sorted(unmade(planted, made)) == [
        "Service webhook: nothing makes Secret webhooks",
        "StatefulSet redis: Secret redis-acl has no redis.acl",
    ]
