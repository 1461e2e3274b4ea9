"""What proves itself to whom: tokens of event sources, certificates and Secrets that operators make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from shared_lib.processes import DATABASE
from tests.k8s.manifests import NAMESPACE, PRODUCTION, Manifests, Object, at, name_of
from tests.k8s.rules.environment import services
from tests.k8s.rules.registry import fault, rule
from tests.k8s.rules.secrets import CARRIED, DATABASE_OF, variables_of

SOURCES: Final = f"{PRODUCTION}+kafka-source"
STORE: Final = f"{PRODUCTION}+external-secrets"


@rule
def what_brings_events_proves_itself(manifests: Manifests) -> Iterator[str]:
    """Sources cannot sign: the door believes a token of their service account, for our audience."""
    for source in manifests.of("PingSource", "KafkaSource"):
        name, kind, sink = source["metadata"]["name"], source["kind"], at(source, "spec", "sink") or {}
        subject = f"system:serviceaccount:{NAMESPACE}:{name}-oidc-sources.knative.dev-{kind.lower()}"
        for door in manifests.doors:
            if door["metadata"]["name"] != at(sink, "ref", "name"):
                continue
            given = manifests.environment(at(door, "spec", "template", "spec", "containers", 0) or {})
            if subject not in given.get("BOXOFFICE_EVENT_OIDC_SUBJECTS", "").split(","):
                yield f"{name_of(source)}: {door['metadata']['name']} does not know {subject}"
            if sink.get("audience") != given.get("BOXOFFICE_EVENT_OIDC_AUDIENCE"):
                yield f"{name_of(source)}: audience {sink.get('audience')} is not that of its door"
        if sink.get("uri") != "/events":
            yield f"{name_of(source)}: events are taken at /events, not at {sink.get('uri')}"


@rule
def knatives_programs_find_their_secrets(manifests: Manifests) -> Iterator[str]:
    """KafkaSources and KEDA take certificates and passwords by name, of what Strimzi writes."""
    made: dict[str, tuple[str, ...]] = {
        f"{kafka}-cluster-ca-cert": ("ca.crt",) for kafka in manifests.names("Kafka")
    }
    for user in manifests.of("KafkaUser"):
        tls = at(user, "spec", "authentication", "type") == "tls"
        made[user["metadata"]["name"]] = (
            ("user.crt", "user.key", "ca.crt") if tls else ("password", "sasl.jaas.config")
        )
    made |= CARRIED
    for thing in manifests.of("KafkaSource", "TriggerAuthentication"):
        for ref in _secret_keys(thing["spec"]):
            if ref.get("key") not in made.get(str(ref.get("name")), ()):
                yield f"{name_of(thing)}: nothing makes {ref.get('key')} of Secret {ref.get('name')}"


def _secret_keys(value: Any) -> Iterator[Object]:
    if isinstance(value, dict):
        if isinstance(value.get("secretKeyRef"), dict):
            yield value["secretKeyRef"]
        yield from (one for one in value.get("secretTargetRef") or [])
        for inner in value.values():
            yield from _secret_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secret_keys(inner)


@rule
def external_secrets_are_those_that_pods_name(manifests: Manifests) -> Iterator[str]:
    found = {
        at(one, "spec", "target", "name") or one["metadata"]["name"]: one
        for one in manifests.of("ExternalSecret")
    }
    if not found:
        return
    written = {f"{kafka}-cluster-ca-cert" for kafka in manifests.names("Kafka")} | manifests.names(
        "KafkaUser"
    )
    for pod in manifests.pods:
        for name in sorted({name for name, _, _ in variables_of(pod)}):
            optional = any(
                at(source, "secretRef", "name") == name and at(source, "secretRef", "optional")
                for container in pod.containers
                for source in container.get("envFrom") or []
            )
            if name not in found.keys() | written and not optional:
                yield f"{pod.name}: nothing makes Secret {name}"
    for name, one in found.items():
        keys = set(at(one, "spec", "target", "template", "data") or {}) or {
            str(entry.get("secretKey")) for entry in at(one, "spec", "data") or []
        }
        if name in CARRIED and keys and not keys >= set(CARRIED[name]) - {"BOXOFFICE_SANDBOX_API_KEY"}:
            yield f"{name_of(one)} has {sorted(keys)}, not {sorted(CARRIED[name])}"
        url = str((at(one, "spec", "target", "template", "data") or {}).get(DATABASE, ""))
        if name in DATABASE_OF and f"//{DATABASE_OF[name]}:" not in url:
            yield f"{name_of(one)} is of another role"
        for host in re.findall(r"@([a-z0-9.-]+):", url):
            inner = host.removesuffix(".svc").removesuffix(f".{NAMESPACE}")
            if inner not in services(manifests):
                yield f"{name_of(one)}: there is no {host}"


def _tick(manifests: Manifests, **sink: Any) -> None:
    spec = {"sink": {"ref": {"name": "renew"}, "uri": "/events"} | sink}
    manifests.objects.append({"kind": "PingSource", "metadata": {"name": "planted"}, "spec": spec})


@fault(what_brings_events_proves_itself, "an account the door does not know", says="does not know system:")
def _(manifests: Manifests) -> None:
    _tick(manifests)


@fault(what_brings_events_proves_itself, "a token for another audience", says="audience elsewhere")
def _(manifests: Manifests) -> None:
    _tick(manifests, audience="elsewhere")


@fault(what_brings_events_proves_itself, "another place", says="taken at /events, not at /")
def _(manifests: Manifests) -> None:
    _tick(manifests, uri="/")


@fault(
    knatives_programs_find_their_secrets,
    "a user that is not there",
    says="of Secret kafka-sourc",
    only=SOURCES,
)
def _(manifests: Manifests) -> None:
    manifests.some("KafkaSource")["spec"]["net"]["tls"]["key"]["secretKeyRef"]["name"] = "kafka-sourc"


@fault(
    knatives_programs_find_their_secrets,
    "a key that is not there",
    says="nothing makes tls.crt",
    only=SOURCES,
)
def _(manifests: Manifests) -> None:
    manifests.some("KafkaSource")["spec"]["net"]["tls"]["cert"]["secretKeyRef"]["key"] = "tls.crt"


@fault(
    external_secrets_are_those_that_pods_name,
    "one is missing",
    says="nothing makes Secret webhook",
    only=STORE,
)
def _(manifests: Manifests) -> None:
    manifests.objects.remove(manifests.one("ExternalSecret", "webhook"))


@fault(external_secrets_are_those_that_pods_name, "another role", says="is of another role", only=STORE)
def _(manifests: Manifests) -> None:
    data = manifests.one("ExternalSecret", "database-door")["spec"]["target"]["template"]["data"]
    data[DATABASE] = data[DATABASE].replace("boxoffice_door", "boxoffice_owner")


@fault(
    external_secrets_are_those_that_pods_name,
    "another host",
    says="there is no pooler.boxoffice.svc",
    only=STORE,
)
def _(manifests: Manifests) -> None:
    data = manifests.one("ExternalSecret", "database-door")["spec"]["target"]["template"]["data"]
    data[DATABASE] = data[DATABASE].replace("postgres-pooler.", "pooler.")
