"""Who may do what with Kafka. A door believes what is in a topic, so who may write there is part of the proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared_lib.billing.events import FACTS, JOBS
from shared_lib.contract.events import DEAD_LETTERS, PLAYBACK
from shared_lib.settings import Settings
from shared_lib.workers.topics import TOPICS
from tests.k8s.manifests import PRODUCTION, Manifests, Object, at, name_of
from tests.k8s.rules.registry import fault, rule

PEOPLE: Final = "kafka-cli"
# Who must be able to write, and who may.
WRITERS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    FACTS: (frozenset({"kafka-relay"}), frozenset({PEOPLE})),
    JOBS: (frozenset({"kafka-relay"}), frozenset({PEOPLE})),
    PLAYBACK: (frozenset(), frozenset({PEOPLE, "cinema-playback"})),
    DEAD_LETTERS: (frozenset({"kafka-trigger"}), frozenset({PEOPLE, "kafka-dead-letters"})),
}


def grants(user: Object, kind: str, name: str) -> set[str]:
    """The operations that a user is allowed on a topic or group; `All` is every one."""
    found: set[str] = set()
    for acl in at(user, "spec", "authorization", "acls") or []:
        resource = acl.get("resource") or {}
        own = str(resource.get("name", ""))
        prefix = resource.get("patternType", "literal") == "prefix"
        if resource.get("type") == kind and (own in (name, "*") or (prefix and name.startswith(own))):
            found |= set(acl.get("operations") or [])
    return found


def _may(user: Object, operation: str, kind: str, name: str) -> bool:
    return bool({operation, "All"} & grants(user, kind, name))


@rule
def topics_are_written_by_those_who_must(manifests: Manifests) -> Iterator[str]:
    if not manifests.of("Kafka"):
        return
    users = manifests.of("KafkaUser")
    for topic in TOPICS:
        must, may = WRITERS[topic.name]
        writers = {user["metadata"]["name"] for user in users if _may(user, "Write", "topic", topic.name)}
        for name in sorted(must - writers):
            yield f"{name} cannot write to {topic.name}"
        for name in sorted(writers - must - may):
            yield f"{name} may write to {topic.name}"
    for kafka in manifests.of("Kafka"):
        if at(kafka, "spec", "kafka", "authorization", "type") != "simple":
            yield f"{name_of(kafka)} asks for no ACL: everything is allowed"
        if at(kafka, "spec", "kafka", "authorization", "superUsers"):
            yield f"{name_of(kafka)} has superusers"
        for listener in at(kafka, "spec", "kafka", "listeners") or []:
            if not listener.get("tls") or not listener.get("authentication"):
                yield f"{name_of(kafka)}: listener {listener.get('name')} takes anyone, or in the clear"


@rule
def topics_are_read_by_those_who_must(manifests: Manifests) -> Iterator[str]:
    for user in manifests.of("KafkaUser"):
        if user["metadata"]["name"] == "kafka-trigger":
            for topic in trigger_topics(manifests):
                if not _may(user, "Read", "topic", topic):
                    yield f"kafka-trigger cannot read {topic}"
            group = Settings.model_fields["trigger_group"].default
            for pod in manifests.pods:
                if pod.process == "trigger":
                    group = manifests.environment(pod.containers[-1]).get("BOXOFFICE_TRIGGER_GROUP", group)
            if not _may(user, "Read", "group", group):
                yield f"kafka-trigger cannot join group {group}"
    for source in manifests.of("KafkaSource"):
        name = at(source, "spec", "net", "tls", "cert", "secretKeyRef", "name")
        for user in manifests.of("KafkaUser"):
            if user["metadata"]["name"] != name:
                continue
            for topic in source["spec"].get("topics") or []:
                if not _may(user, "Read", "topic", topic):
                    yield f"{name_of(source)}: {name} cannot read {topic}"
            if not _may(user, "Read", "group", str(source["spec"].get("consumerGroup"))):
                yield f"{name_of(source)}: {name} cannot join group {source['spec'].get('consumerGroup')}"


def trigger_topics(manifests: Manifests) -> list[str]:
    """What the trigger reads."""
    for pod in manifests.pods:
        if pod.process == "trigger":
            named = manifests.environment(pod.containers[-1]).get("BOXOFFICE_TRIGGER_TOPICS")
            if named:
                return [topic.strip() for topic in named.split(",")]
    return list(Settings.model_fields["trigger_topics"].default)


def _acls(manifests: Manifests, name: str) -> Any:
    return manifests.one("KafkaUser", name)["spec"]["authorization"]["acls"]


@fault(
    topics_are_written_by_those_who_must,
    "a trigger that writes facts",
    says="kafka-trigger may write",
    only=PRODUCTION,
)
def _(manifests: Manifests) -> None:
    resource = {"type": "topic", "name": "billing.", "patternType": "prefix"}
    _acls(manifests, "kafka-trigger").append({"resource": resource, "operations": ["All"]})


@fault(
    topics_are_written_by_those_who_must,
    "a relay that cannot",
    says="kafka-relay cannot write",
    only=PRODUCTION,
)
def _(manifests: Manifests) -> None:
    for acl in _acls(manifests, "kafka-relay"):
        acl["operations"] = ["Describe"]


@fault(
    topics_are_written_by_those_who_must,
    "a player that writes jobs",
    says="cinema-playback may",
    only=PRODUCTION,
)
def _(manifests: Manifests) -> None:
    _acls(manifests, "cinema-playback")[0]["resource"]["name"] = "*"


@fault(topics_are_written_by_those_who_must, "no ACLs at all", says="everything is allowed", only=PRODUCTION)
def _(manifests: Manifests) -> None:
    del manifests.some("Kafka")["spec"]["kafka"]["authorization"]


@fault(
    topics_are_written_by_those_who_must, "a listener in the clear", says="listener plain", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    listener = {"name": "plain", "port": 9095, "type": "internal", "tls": False}
    manifests.some("Kafka")["spec"]["kafka"]["listeners"].append(listener)


@fault(
    topics_are_read_by_those_who_must, "a topic left out", says="kafka-trigger cannot read", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    acls = _acls(manifests, "kafka-trigger")
    acls[:] = [acl for acl in acls if acl["resource"]["name"] != PLAYBACK]


@fault(
    topics_are_read_by_those_who_must, "another group", says="cannot join group boxoffice", only=PRODUCTION
)
def _(manifests: Manifests) -> None:
    for acl in _acls(manifests, "kafka-trigger"):
        if acl["resource"]["type"] == "group":
            acl["resource"]["name"] = "triggers"


@fault(
    topics_are_read_by_those_who_must,
    "a source without a right",
    says="kafka-source cannot read",
    only=f"{PRODUCTION}+kafka-source",
)
def _(manifests: Manifests) -> None:
    acls = _acls(manifests, "kafka-source")
    acls[:] = [acl for acl in acls if acl["resource"]["type"] == "group"]
