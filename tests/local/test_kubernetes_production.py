"""The production overlay without Kubernetes: pins, names and bounds that other files or programs give it."""

from __future__ import annotations

import re
from typing import Any

import yaml  # type: ignore[import-untyped]  # as in tests/compose

from infra.kubernetes.generate import ROOT
from shared_lib.settings import Settings
from shared_lib.store.outbox import SHARDS
from shared_lib.workers.topics import PARTITIONS

K8S = ROOT / "k8s"
PRODUCTION, COMPONENT = K8S / "overlays/production", K8S / "components/kafka-source"


def env(path: Any) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def documents(*folders: Any) -> list[dict[str, Any]]:
    return [
        one
        for folder in folders
        for path in sorted(folder.rglob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text())
        if isinstance(one, dict)
    ]


def of(kind: str, *folders: Any) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in documents(*folders) if one.get("kind") == kind}


PINS = env(K8S / "versions.env")


def test_manifests_have_the_versions_that_are_pinned() -> None:
    (kafka,) = of("Kafka", PRODUCTION).values()
    (postgres,) = of("Cluster", PRODUCTION).values()
    assert kafka["spec"]["kafka"]["version"] == PINS["KAFKA"]
    assert postgres["spec"]["imageName"] == PINS["CLOUDNATIVE_PG_IMAGE"]


def test_the_kind_overlay_has_the_images_that_are_pinned_and_those_of_the_containers() -> None:
    overlay = yaml.safe_load((K8S / "overlays/kind/kustomization.yaml").read_text())
    tags = {f"{one['name']}:{one['newTag']}" for one in overlay["images"] if "newName" not in one}
    pinned = {name: value for name, value in PINS.items() if name.endswith("_IMAGE") and ":" in value}
    ours = {
        name: value
        for name, value in pinned.items()
        if name not in ("KIND_NODE_IMAGE", "CLOUDNATIVE_PG_IMAGE")
    }
    assert set(ours.values()) == tags
    containers = env(ROOT / "infra/docker/images.env")
    assert ours == {name: containers[name] for name in ours}


def account(source: dict[str, Any]) -> str:
    """The service account that Knative Eventing makes for a source (pkg/auth/serviceaccount.go)."""
    group, kind = source["apiVersion"].partition("/")[0], source["kind"]
    return f"system:serviceaccount:boxoffice:{source['metadata']['name']}-oidc-{group}-{kind}".lower()


def test_doors_believe_the_sources_that_there_are_and_no_others() -> None:
    ticks = [account(one) for one in of("PingSource", PRODUCTION).values()]
    sources = [account(one) for one in of("KafkaSource", COMPONENT).values()]
    own, component = env(PRODUCTION / "settings.env"), env(COMPONENT / "settings.env")
    subjects = "BOXOFFICE_EVENT_OIDC_SUBJECTS"
    assert sorted(own[subjects].split(",")) == sorted(ticks)
    assert sorted(component[subjects].split(",")) == sorted([*ticks, *sources])
    audiences = {
        one["spec"]["sink"]["audience"]
        for one in documents(PRODUCTION, COMPONENT)
        if one.get("kind") in ("PingSource", "KafkaSource")
    }
    assert audiences == {own["BOXOFFICE_EVENT_OIDC_AUDIENCE"]}
    # A name of more than 63 characters would be shortened with a hash.
    assert max(len(one.rpartition(":")[2]) for one in [*ticks, *sources]) <= 63


def test_no_more_relays_and_triggers_than_there_is_work_to_share() -> None:
    bounds = {"relay": SHARDS, "trigger": PARTITIONS}
    for kind, field in (("HorizontalPodAutoscaler", "maxReplicas"), ("ScaledObject", "maxReplicaCount")):
        found = of(kind, PRODUCTION, K8S / "components/keda")
        assert found.keys() == bounds.keys()
        for name, one in found.items():
            assert one["spec"][field] <= bounds[name]


def test_each_worker_is_a_kafka_user_that_there_is_and_reads_as_its_own_group() -> None:
    users = of("KafkaUser", PRODUCTION)
    for worker in ("relay", "trigger"):
        text = (PRODUCTION / f"{worker}.yaml").read_text()
        named = re.findall(r"name: BOXOFFICE_KAFKA_USERNAME, value: ([\w-]+)", text)
        secret = re.findall(r"secretKeyRef: \{ name: ([\w-]+), key: password", text)
        assert named == secret == [f"kafka-{worker}"]
        assert named[0] in users
    acls = users["kafka-trigger"]["spec"]["authorization"]["acls"]
    groups = {one["resource"]["name"] for one in acls if one["resource"]["type"] == "group"}
    assert groups == {Settings.model_fields["trigger_group"].default}
