"""Which door takes what: routes, topics, and how those that bring events prove themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from infra.nginx.doors import service, table
from shared_lib.billing.events import FACTS
from shared_lib.contract.events import DEAD_LETTERS, OURS, PLAYBACK, PLAYBACK_STARTED
from shared_lib.contract.routes import EVENT_ROUTES
from shared_lib.workers.topics import TOPICS
from tests.k8s.manifests import PRODUCTION, Manifests, as_json, at, name_of
from tests.k8s.rules.kafka_access import trigger_topics
from tests.k8s.rules.registry import fault, rule

# The topics whose events are all for one door. Jobs are for four.
DOOR_OF_TOPIC: Final = {FACTS: EVENT_ROUTES[OURS], PLAYBACK: EVENT_ROUTES[PLAYBACK_STARTED]}
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
        prefix: f"http://{service(door)}.boxoffice.svc.cluster.local" for prefix, door in EVENT_ROUTES.items()
    }
    tables = [
        config["data"][ROUTES] for config in manifests.of("ConfigMap") if ROUTES in (config.get("data") or {})
    ]
    if len(tables) != 1:
        yield f"{ROUTES} stands in {len(tables)} ConfigMaps"
    for text in tables:
        found = as_json(text)
        if found != wanted:
            yield f"{ROUTES} is not that of shared_lib/contract/routes.py"
    for pod in manifests.pods:
        if pod.process in ("trigger", "clock") and not manifests.environment(pod.containers[-1]).get(ROUTES):
            yield f"{pod.name} has no {ROUTES}"
    files = [
        config["data"]["doors.conf"]
        for config in manifests.of("ConfigMap")
        if "doors.conf" in (config.get("data") or {})
    ]
    if len(files) != 1 or _without_comments(files[0]) != _without_comments(table()):
        yield "the gateway's doors.conf is not that of shared_lib/contract/routes.py"


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*(#.*)?\n", "", text, flags=re.MULTILINE)


@rule
def each_topic_is_read_once(manifests: Manifests) -> Iterator[str]:
    """By the trigger or by a KafkaSource: two groups would tell a customer twice, none would tell never."""
    if not manifests.of("Kafka"):
        return
    readers: dict[str, list[str]] = {topic.name: [] for topic in TOPICS if topic.name != DEAD_LETTERS}
    for pod in manifests.pods:
        for topic in trigger_topics(manifests) if pod.process == "trigger" else []:
            readers.setdefault(topic, []).append(pod.name)
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
