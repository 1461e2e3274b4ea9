"""Which door takes what: routes, topics, and how those that bring events prove themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from infra.local.routes import EVENTS
from infra.nginx.doors import service, table
from shared_lib.processes import DATABASE
from shared_lib.settings import Settings
from shared_lib.store.outbox import FACTS
from shared_lib.workers.topics import DEAD_LETTERS, PLAYBACK, TOPICS
from tests.k8s.manifests import NAMESPACE, PRODUCTION, Manifests, Object, as_json, at, name_of
from tests.k8s.rules.environment import services
from tests.k8s.rules.registry import fault, rule
from tests.k8s.rules.secrets import CARRIED, DATABASE_OF, variables_of

# What is all for one door. Jobs are for four.
DOOR_OF_TOPIC: Final = {FACTS: "notify", PLAYBACK: "playback"}
SOURCES: Final = f"{PRODUCTION}+kafka-source"
STORE: Final = f"{PRODUCTION}+external-secrets"
ROUTES: Final = "BOXOFFICE_EVENT_ROUTES"


@rule
def strimzis_topics_are_ours(manifests: Manifests) -> Iterator[str]:
    if not manifests.of("Kafka"):
        return
    found = {
        at(one, "spec", "topicName") or one["metadata"]["name"]: one for one in manifests.of("KafkaTopic")
    }
    for topic in TOPICS:
        one = found.get(topic.name)
        if one is None:
            yield f"no KafkaTopic {topic.name}"
            continue
        if at(one, "spec", "partitions") != topic.partitions:
            yield f"{name_of(one)}: {at(one, 'spec', 'partitions')} partitions, not {topic.partitions}"
        config = {key: str(value) for key, value in (at(one, "spec", "config") or {}).items()}
        for key, value in topic.configs.items():
            if config.get(key) != value:
                yield f"{name_of(one)}: {key} is {config.get(key)}, not {value}"
        replicas, least = at(one, "spec", "replicas"), config.get("min.insync.replicas")
        if manifests.overlay == PRODUCTION and not (replicas or 0) >= 3:
            yield f"{name_of(one)}: {replicas} replicas"
        if least is not None and replicas is not None and int(least) >= int(replicas):
            yield f"{name_of(one)}: with {least} of {replicas} in sync nothing may be restarted"
    for name in sorted(found.keys() - {topic.name for topic in TOPICS}):
        yield f"KafkaTopic {name} is none of ours"
    for kafka in manifests.of("Kafka"):
        if str(at(kafka, "spec", "kafka", "config", "auto.create.topics.enable")).lower() != "false":
            yield f"{name_of(kafka)} makes a topic of each typo"
    for user in manifests.of("KafkaUser"):
        for acl in at(user, "spec", "authorization", "acls") or []:
            resource = acl.get("resource") or {}
            name, prefix = str(resource.get("name")), resource.get("patternType") == "prefix"
            known = [
                topic.name
                for topic in TOPICS
                if topic.name == name or (prefix and topic.name.startswith(name))
            ]
            if resource.get("type") == "topic" and not known:
                yield f"{name_of(user)} may use topic {name}, which does not exist"


@rule
def routes_follow_one_table(manifests: Manifests) -> Iterator[str]:
    wanted = {
        prefix: f"http://{service(door)}.boxoffice.svc.cluster.local" for prefix, door in EVENTS.items()
    }
    tables = [
        config["data"][ROUTES] for config in manifests.of("ConfigMap") if ROUTES in (config.get("data") or {})
    ]
    if len(tables) != 1:
        yield f"{ROUTES} stands in {len(tables)} ConfigMaps"
    for text in tables:
        found = as_json(text)
        if found != wanted:
            yield f"{ROUTES} is not that of infra/local/routes.py"
    for pod in manifests.pods:
        if pod.process in ("trigger", "clock") and not manifests.environment(pod.containers[-1]).get(ROUTES):
            yield f"{pod.name} has no {ROUTES}"
    files = [
        config["data"]["doors.conf"]
        for config in manifests.of("ConfigMap")
        if "doors.conf" in (config.get("data") or {})
    ]
    if len(files) != 1 or _without_comments(files[0]) != _without_comments(table()):
        yield "the gateway's doors.conf is not that of infra/local/routes.py"


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*(#.*)?\n", "", text, flags=re.MULTILINE)


@rule
def each_topic_is_read_once(manifests: Manifests) -> Iterator[str]:
    """By the trigger or by a KafkaSource: two groups would tell a customer twice, none would tell never."""
    if not manifests.of("Kafka"):
        return
    readers: dict[str, list[str]] = {topic.name: [] for topic in TOPICS if topic.name != DEAD_LETTERS}
    for pod in manifests.pods:
        if pod.process == "trigger":
            named = manifests.environment(pod.containers[-1]).get("BOXOFFICE_TRIGGER_TOPICS", "")
            for topic in (
                filter(None, named.split(",")) if named else Settings.model_fields["trigger_topics"].default
            ):
                readers.setdefault(topic.strip(), []).append(pod.name)
    for source in manifests.of("KafkaSource"):
        for topic in source["spec"].get("topics") or []:
            readers.setdefault(topic, []).append(name_of(source))
        # A KafkaSource has no filter: everything in the topic goes to one door.
        door = at(source, "spec", "sink", "ref", "name")
        if door != DOOR_OF_TOPIC.get(",".join(source["spec"].get("topics") or [])):
            yield f"{name_of(source)}: not everything in its topics is for {door}"
    for topic, names in readers.items():
        if len(names) != 1:
            yield f"topic {topic} is read by {' and '.join(names) or 'nothing'}"


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


@fault(strimzis_topics_are_ours, "fewer partitions", says="not 12", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    for topic in manifests.of("KafkaTopic"):
        topic["spec"]["partitions"] = 3


@fault(strimzis_topics_are_ours, "a topic is missing", says="no KafkaTopic", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    manifests.objects.remove(manifests.some("KafkaTopic"))


@fault(strimzis_topics_are_ours, "kept for an hour", says="retention.ms is 3600000", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    for topic in manifests.of("KafkaTopic"):
        topic["spec"]["config"]["retention.ms"] = 3_600_000


@fault(strimzis_topics_are_ours, "topics by typo", says="makes a topic of each typo", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    manifests.some("Kafka")["spec"]["kafka"]["config"]["auto.create.topics.enable"] = True


@fault(strimzis_topics_are_ours, "rights to another topic", says="topic billing.event,", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    acls = [{"resource": {"type": "topic", "name": "billing.event"}, "operations": ["Read"]}]
    user = {"kind": "KafkaUser", "metadata": {"name": "planted"}, "spec": {"authorization": {"acls": acls}}}
    manifests.objects.append(user)


def _config(manifests: Manifests, key: str) -> Any:
    return next(one["data"] for one in manifests.of("ConfigMap") if key in (one.get("data") or {}))


@fault(routes_follow_one_table, "an event to another door", says=f"{ROUTES} is not")
def _(manifests: Manifests) -> None:
    config = _config(manifests, ROUTES)
    config[ROUTES] = config[ROUTES].replace("//refund.", "//renew.")


@fault(routes_follow_one_table, "a trigger that knows no door", says=f"Deployment trigger has no {ROUTES}")
def _(manifests: Manifests) -> None:
    sources = manifests.pod("trigger").containers[-1]["envFrom"]
    sources[:] = [one for one in sources if not str(at(one, "configMapRef", "name")).startswith("routes")]


@fault(routes_follow_one_table, "another copy of the gateway's table", says="doors.conf")
def _(manifests: Manifests) -> None:
    config = _config(manifests, "doors.conf")
    config["doors.conf"] = config["doors.conf"].replace("refunds", "refund")


@fault(
    each_topic_is_read_once,
    "a source beside the trigger",
    says="read by Deployment trigger and",
    only=PRODUCTION,
)
def _(manifests: Manifests) -> None:
    spec = {"topics": [FACTS], "sink": {"ref": {"name": "notify"}}}
    manifests.objects.append({"kind": "KafkaSource", "metadata": {"name": "planted"}, "spec": spec})


@fault(each_topic_is_read_once, "a topic left out", says="read by nothing", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    variable = {"name": "BOXOFFICE_TRIGGER_TOPICS", "value": FACTS}
    manifests.pod("trigger").containers[-1].setdefault("env", []).append(variable)


@fault(each_topic_is_read_once, "jobs to one door", says="not everything in its topics", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    spec = {"topics": ["billing.jobs"], "sink": {"ref": {"name": "renew"}}}
    manifests.objects.append({"kind": "KafkaSource", "metadata": {"name": "planted"}, "spec": spec})


def _tick(manifests: Manifests, **sink: Any) -> None:
    spec = {"sink": {"ref": {"name": "renew"}, "uri": "/events"} | sink}
    manifests.objects.append({"kind": "PingSource", "metadata": {"name": "planted"}, "spec": spec})


@fault(what_brings_events_proves_itself, "an account the door does not know", says="does not know system:")
def _(manifests: Manifests) -> None:
    _tick(manifests)


@fault(what_brings_events_proves_itself, "a token for somebody else", says="audience elsewhere")
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
