"""Ticks, events and their retries: values that Knative Eventing and Strimzi take as they come and then cannot use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from infra.nginx.doors import service
from shared_lib.contract.routes import EVENT_ROUTES
from shared_lib.workers.topics import TOPICS
from tests.k8s.manifests import Manifests, Object, as_json, at, name_of
from tests.k8s.quantities import cron_mistake, iso_seconds
from tests.k8s.rules.registry import fault, rule

# A consumer that does not poll for this long loses its partitions, and what it holds is delivered again by another one.
POLL_S: Final = 300.0
# Knative waits this long for a door that does not answer, unless told otherwise.
ANSWER_S: Final = 600.0
ORDERINGS: Final = ("ordered", "unordered")
POLICIES: Final = ("exponential", "linear")


def _delivery_seconds(delivery: Object) -> float | None:
    """The longest that one event may take, with every attempt waiting as long as it may. None: it cannot be told."""
    retries, delay = delivery.get("retry", 0), iso_seconds(delivery.get("backoffDelay", "PT0.2S"))
    answer = iso_seconds(delivery["timeout"]) if "timeout" in delivery else ANSWER_S
    if not isinstance(retries, int) or delay is None or answer is None:
        return None
    exponential = delivery.get("backoffPolicy", "exponential") == "exponential"
    pauses = (delay * (2**turn if exponential else turn) for turn in range(1, retries + 1))
    return sum(pauses) + (retries + 1) * answer


@rule
def deliveries_end_in_time(manifests: Manifests) -> Iterator[str]:
    for source in manifests.of("KafkaSource", "Trigger"):
        name, delivery = name_of(source), at(source, "spec", "delivery") or {}
        for field in ("backoffDelay", "timeout"):
            if field in delivery and iso_seconds(delivery[field]) is None:
                yield f"{name}: {field} {delivery[field]!r} is not of ISO 8601 (PT0.5S)"
        if delivery.get("backoffPolicy") not in POLICIES:
            yield f"{name}: backoffPolicy is {delivery.get('backoffPolicy')!r}"
        retries = delivery.get("retry")
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 1:
            yield f"{name}: retry is {retries!r}"
        seconds = _delivery_seconds(delivery)
        if seconds is not None and seconds >= POLL_S:
            yield f"{name}: one event may take {seconds:g} s; after {POLL_S:g} s its consumer is taken for dead"
        if not at(delivery, "deadLetterSink", "ref"):
            yield f"{name}: what cannot be delivered is lost without a deadLetterSink"


@rule
def sources_read_in_order_from_the_start(manifests: Manifests) -> Iterator[str]:
    topics = {topic.name: topic for topic in TOPICS}
    groups: dict[str, str] = {}
    for source in manifests.of("KafkaSource"):
        name, spec = name_of(source), source["spec"]
        if spec.get("ordering") not in ORDERINGS:
            yield f"{name}: ordering is {spec.get('ordering')!r}"
        elif spec["ordering"] != "ordered":
            yield f"{name}: a customer's events may overtake each other"
        if spec.get("initialOffset") != "earliest":
            yield f"{name}: initialOffset {spec.get('initialOffset')!r} leaves out what was written before it"
        group = str(spec.get("consumerGroup"))
        if not spec.get("consumerGroup") or group in groups:
            yield f"{name}: consumerGroup {group} is missing or that of {groups.get(group)}"
        groups[group] = name
        for topic in spec.get("topics") or [""]:
            if topic not in topics:
                yield f"{name}: there is no topic {topic!r}"
            elif int(spec.get("consumers", 1)) > topics[topic].partitions:
                yield f"{name}: {spec['consumers']} consumers for {topics[topic].partitions} partitions"
    for sink in manifests.of("KafkaSink"):
        if at(sink, "spec", "topic") not in topics:
            yield f"{name_of(sink)}: there is no topic {at(sink, 'spec', 'topic')!r}"


@rule
def schedules_have_five_fields(manifests: Manifests) -> Iterator[str]:
    """PingSource also reads six, with seconds first, and both take a schedule that never comes."""
    for thing in manifests.of("PingSource", "CronJob"):
        if mistake := cron_mistake(at(thing, "spec", "schedule")):
            yield f"{name_of(thing)}: schedule {at(thing, 'spec', 'schedule')!r}: {mistake}"
    for job in manifests.of("CronJob"):
        if at(job, "spec", "concurrencyPolicy") != "Forbid":
            yield f"{name_of(job)}: a tick may start while the last one runs"
        if not at(job, "spec", "startingDeadlineSeconds"):
            yield f"{name_of(job)}: after a hundred missed ticks it never starts again"


@rule
def ticks_reach_the_door_that_takes_them(manifests: Manifests) -> Iterator[str]:
    for source in manifests.of("PingSource"):
        name, extensions = name_of(source), at(source, "spec", "ceOverrides", "extensions") or {}
        data = at(source, "spec", "data")
        if data is not None and as_json(str(data)) is None:
            yield f"{name}: its data is no JSON"
        if kind := extensions.get("type"):
            door = EVENT_ROUTES.get(kind)
            if door is None or at(source, "spec", "sink", "ref", "name") != service(door):
                yield f"{name}: {kind} goes to {at(source, 'spec', 'sink', 'ref', 'name')}, not to {door}"


def _source(manifests: Manifests) -> Any:
    """A sound KafkaSource, so that faults can be planted where the overlay has none."""
    source = {
        "kind": "KafkaSource",
        "metadata": {"name": "planted"},
        "spec": {
            "topics": ["billing.events"],
            "consumerGroup": "planted",
            "consumers": 3,
            "ordering": "ordered",
            "initialOffset": "earliest",
            "delivery": {
                "retry": 5,
                "backoffPolicy": "exponential",
                "backoffDelay": "PT0.5S",
                "timeout": "PT20S",
                "deadLetterSink": {"ref": {"kind": "KafkaSink", "name": "dead-letters"}},
            },
        },
    }
    manifests.objects.append(source)
    return source["spec"]


@fault(deliveries_end_in_time, "another policy", says="backoffPolicy is 'cubic'")
def _(manifests: Manifests) -> None:
    _source(manifests)["delivery"]["backoffPolicy"] = "cubic"


@fault(deliveries_end_in_time, "a delay of Go", says="backoffDelay '1s'")
def _(manifests: Manifests) -> None:
    _source(manifests)["delivery"]["backoffDelay"] = "1s"


@fault(deliveries_end_in_time, "too many attempts", says="is taken for dead")
def _(manifests: Manifests) -> None:
    _source(manifests)["delivery"]["retry"] = 10


@fault(deliveries_end_in_time, "without a bound on an answer", says="may take 3631 s")
def _(manifests: Manifests) -> None:
    del _source(manifests)["delivery"]["timeout"]


@fault(deliveries_end_in_time, "letters without an end", says="deadLetterSink")
def _(manifests: Manifests) -> None:
    del _source(manifests)["delivery"]["deadLetterSink"]


@fault(sources_read_in_order_from_the_start, "another ordering", says="ordering is 'sorted'")
def _(manifests: Manifests) -> None:
    _source(manifests)["ordering"] = "sorted"


@fault(sources_read_in_order_from_the_start, "from now on", says="leaves out")
def _(manifests: Manifests) -> None:
    del _source(manifests)["initialOffset"]


@fault(sources_read_in_order_from_the_start, "a topic that is not there", says="no topic 'billing.event'")
def _(manifests: Manifests) -> None:
    _source(manifests)["topics"] = ["billing.event"]


@fault(sources_read_in_order_from_the_start, "one group for two", says="or that of KafkaSource planted")
def _(manifests: Manifests) -> None:
    _source(manifests)
    _source(manifests)


@fault(sources_read_in_order_from_the_start, "more consumers than partitions", says="13 consumers")
def _(manifests: Manifests) -> None:
    _source(manifests)["consumers"] = 13


def _ping(manifests: Manifests) -> Any:
    spec = {
        "schedule": "* * * * *",
        "data": "{}",
        "sink": {"ref": {"kind": "Service", "apiVersion": "serving.knative.dev/v1", "name": "renew"}},
        "ceOverrides": {"extensions": {}},
    }
    manifests.objects.append({"kind": "PingSource", "metadata": {"name": "planted"}, "spec": spec})
    return spec


@fault(schedules_have_five_fields, "three fields", says="3 fields, not 5")
def _(manifests: Manifests) -> None:
    _ping(manifests)["schedule"] = "* * *"


@fault(schedules_have_five_fields, "seconds in front", says="6 fields, not 5")
def _(manifests: Manifests) -> None:
    _ping(manifests)["schedule"] = "0 * * * * *"


@fault(schedules_have_five_fields, "minute 60", says="field 1 cannot be '60'")
def _(manifests: Manifests) -> None:
    _ping(manifests)["schedule"] = "60 * * * *"


@fault(schedules_have_five_fields, "ticks beside each other", says="while the last one runs")
def _(manifests: Manifests) -> None:
    spec = {"schedule": "*/5 * * * *", "concurrencyPolicy": "Allow", "startingDeadlineSeconds": 60}
    manifests.objects.append({"kind": "CronJob", "metadata": {"name": "planted"}, "spec": spec})


@fault(ticks_reach_the_door_that_takes_them, "the wrong door", says="billing.tick.reconcile goes to renew")
def _(manifests: Manifests) -> None:
    _ping(manifests)["ceOverrides"]["extensions"]["type"] = "billing.tick.reconcile"


@fault(ticks_reach_the_door_that_takes_them, "data that is no JSON", says="no JSON")
def _(manifests: Manifests) -> None:
    _ping(manifests)["data"] = "{tick}"
