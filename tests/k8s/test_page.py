"""docs/kubernetes.md: its Secrets are those that pods name, its pod may run, and its commands do what they say."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no annotations

from tests.k8s.apiserver import Apiserver
from tests.k8s.manifests import K8S, NAMESPACE, PRODUCTION, Object, at, rendered
from tests.k8s.namespaces import FIRST, moved

pytestmark = pytest.mark.k8s

PAGE: Final = (K8S.parent / "docs" / "kubernetes.md").read_text()
PATCH: Final = re.compile(
    r"kubectl -n boxoffice patch (\w+) ([\w-]+)(?: --type merge)?\s+(?:\\\n\s+)?-p '([^']+)'"
)
SELECTOR: Final = re.compile(r"kubectl apply --server-side -f release\.yaml -l '([^']+)'")
SECRET_ROWS: Final = re.compile(r"^\| ((?:`[\w-]+`(?:, )?)+) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def namespace(apiserver: Apiserver) -> str:
    """One with what the page's commands change."""
    name = f"{NAMESPACE}-{uuid.uuid4().hex[:7]}"
    apiserver.namespaces.append(name)
    there = moved(rendered(PRODUCTION), name).objects
    wanted = [thing for thing in there if thing["kind"] in FIRST] + [
        thing for thing in there if thing["metadata"]["name"] in ("create-order", "renewal-tick")
    ]
    # A controller makes it in each namespace of a whole cluster.
    wanted.append(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    )
    made = apiserver.apply(wanted, dry_run=False)
    assert made.code == 0, made.text
    return name


def test_the_page_lists_the_secrets_that_production_names() -> None:
    section = PAGE.partition("### Secrets")[2].partition("###")[0]
    listed = {name for row in SECRET_ROWS.findall(section) for name in re.findall(r"`([\w-]+)`", row)}
    # Kafka asks each of our processes for a password of its own there (kafka-relay, kafka-trigger).
    assert listed == secrets_of(rendered(PRODUCTION).objects) - {"kafka"}


def secrets_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(secrets_of, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found = {
        value[name]["name"]
        for name in ("secretRef", "secretKeyRef", "passwordSecret")
        if at(value, name, "name")
    }
    if isinstance(value.get("secretName"), str):
        found.add(value["secretName"])
    return found.union(*map(secrets_of, value.values()))


def test_the_pod_for_people_may_run_beside_the_others(apiserver: Apiserver, namespace: str) -> None:
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "kind: Pod" in block]
    pod: Object = yaml.safe_load(blocks[0].replace("sha256:...", f"sha256:{'0' * 64}"))
    assert (len(blocks), pod["metadata"]["namespace"]) == (1, NAMESPACE)
    pod["metadata"]["namespace"] = namespace

    answer = apiserver.apply([pod], dry_run=True)

    assert answer.code == 0, answer.text


@pytest.mark.parametrize(
    ("kind", "name", "patch"), PATCH.findall(PAGE), ids=[" ".join(found[:2]) for found in PATCH.findall(PAGE)]
)
def test_a_patch_of_the_page_is_taken(
    apiserver: Apiserver, namespace: str, kind: str, name: str, patch: str
) -> None:
    answer = apiserver.kubectl(
        *("patch", kind, name, "--namespace", namespace, "--type", "merge", "-p", patch),
        *("--dry-run=server", "-o", "json"),
    )
    assert answer.code == 0, answer.text
    assert contains(json.loads(answer.out), json.loads(patch))


def test_the_page_has_the_patches_that_are_tried() -> None:
    assert len(PATCH.findall(PAGE)) == PAGE.count(" patch ") == 3


def contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(contains(at(whole, key), value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def test_the_first_half_of_a_release_changes_no_process_that_serves(
    apiserver: Apiserver, namespace: str
) -> None:
    (selector,) = SELECTOR.findall(PAGE)
    objects = [
        thing
        for thing in moved(rendered(PRODUCTION), namespace).objects
        if thing["apiVersion"] in ("v1", "apps/v1", "batch/v1", "serving.knative.dev/v1")
    ]

    answer = apiserver.kubectl(
        *(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-o",
            "name",
            "-l",
            selector,
            "-f",
            "-",
        ),
        objects=objects,
    )

    assert answer.code == 0, answer.text
    kinds = {line.partition("/")[0] for line in answer.out.splitlines()}
    assert kinds >= {"configmap", "job.batch", "serviceaccount"}
    assert not kinds & {"deployment.apps", "service.serving.knative.dev"}
