"""`boxoffice lag`: how far the triggers are behind. Exit status 1 when they do not progress."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from rich.console import RenderableType

from shared_lib.cli.terminal import CannotError, Output, by_name, kafka_bootstrap, table, words
from shared_lib.settings import Settings
from shared_lib.workers.kafka_client import servers

ANSWER_S: Final = 10.0
# A trigger tries one event for 240 s (trigger/delivery.py): a record that waits longer is stuck.
OLDEST_MAX_S: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One partition. `committed` is the first offset that is not committed as done."""

    place: TopicPartition
    committed: int
    end: int
    member: str | None
    oldest_s: int | None = None

    @property
    def lag(self) -> int:
        return max(0, self.end - self.committed)


def lag(oldest_max_s: int = OLDEST_MAX_S) -> Output:
    """Whether all is well, and a table. Not well: a record waits longer than `oldest_max_s`, or its partition has no consumer."""
    bootstrap = kafka_bootstrap()
    if not bootstrap:
        raise CannotError(
            "BOXOFFICE_KAFKA_BOOTSTRAP is empty: the relay delivers over HTTP, see `boxoffice outbox`."
        )
    group = os.environ.get("BOXOFFICE_TRIGGER_GROUP") or Settings.model_fields["trigger_group"].default
    named = os.environ.get("BOXOFFICE_TRIGGER_TOPICS", "").split(",")
    topics = [name.strip() for name in named if name.strip()] or Settings.model_fields[
        "trigger_topics"
    ].default
    try:
        rows = _rows(bootstrap, group, topics)
    except (KafkaError, OSError) as error:
        raise CannotError(f"Kafka does not answer: {type(error).__name__}") from None
    if not rows:
        raise CannotError(
            f"None of the topics exists: {', '.join(topics)}. Run python -m shared_lib.workers.topics."
        )
    return _verdict(group, rows, oldest_max_s)


def _verdict(group: str, rows: Sequence[Row], oldest_max_s: int) -> Output:
    waiting = [row for row in rows if row.lag]
    alone = [row for row in waiting if row.member is None]
    oldest_s = max((row.oldest_s or 0 for row in waiting), default=0)
    members = len({row.member for row in rows if row.member})
    figures = [(row.place.topic, row.place.partition, row.committed, row.end, row.lag) for row in rows]
    shown = [
        (*line, None if row.oldest_s is None else f"{row.oldest_s} s", row.member)
        for line, row in zip(figures, rows, strict=True)
    ]
    names = ("topic", "partition", "committed", "end", "lag")
    bad = []
    if alone:
        bad.append(f"BAD  {len(alone)} partitions with records have no consumer: is a trigger running?")
    if oldest_s > oldest_max_s:
        bad.append(
            f"BAD  a record waits for {oldest_s} s, more than {oldest_max_s} s: see the runbook, `door_in_trouble`"
        )
    says = f"group {group}: {members} members, {sum(row.lag for row in rows)} records behind"
    data = {
        "group": group,
        "members": members,
        "behind": sum(row.lag for row in rows),
        "partitions": by_name(
            (*names, "oldest_s", "member"),
            [(*line, row.oldest_s, row.member) for line, row in zip(figures, rows, strict=True)],
        ),
        "bad": bad,
    }
    parts: list[RenderableType] = [
        table((*names, "oldest waits", "member"), shown),
        says,
        *(words(line, "red") for line in bad),
    ]
    return Output(parts, data, not bad)


def _rows(bootstrap: Sequence[str], group: str, topics: Sequence[str]) -> list[Row]:
    own: dict[str, Any] = {
        **servers(bootstrap),
        "client_id": "boxoffice-cli",
        "bootstrap_timeout_ms": int(ANSWER_S * 1000),
    }
    admin = KafkaAdminClient(**own)
    try:
        offsets = admin.list_group_offsets([group])[group]
        members = _members(admin.describe_groups([group])[group]["members"])
    finally:
        admin.close()
    consumer = KafkaConsumer(enable_auto_commit=False, allow_auto_create_topics=False, **own)
    try:
        there = consumer.topics()
        places = sorted(
            TopicPartition(topic, n)
            for topic in topics
            if topic in there
            for n in consumer.partitions_for_topic(topic)
        )
        begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        committed = {place: offsets[place].offset if place in offsets else begins[place] for place in places}
        ages = _ages_s(consumer, {place: at for place, at in committed.items() if at < ends[place]})
    finally:
        consumer.close(autocommit=False)
    return [
        Row(
            place=place,
            committed=committed[place],
            end=ends[place],
            member=members.get(place),
            oldest_s=ages.get(place),
        )
        for place in places
    ]


def _members(found: Sequence[dict[str, Any]]) -> dict[TopicPartition, str]:
    """The consumer of each partition: the name of a static member, else the end of its member id."""
    return {
        TopicPartition(topic["topic"], n): member.get("group_instance_id") or member["member_id"][-12:]
        for member in found
        for topic in (member.get("member_assignment") or {}).get("assigned_partitions") or []
        for n in topic["partitions"]
    }


def _ages_s(consumer: KafkaConsumer, first: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
    """How long the first record that is not done has waited, for each partition that answers within ANSWER_S."""
    consumer.assign(list(first))
    for place, offset in first.items():
        consumer.seek(place, offset)
    now, ages = datetime.now(UTC), dict[TopicPartition, int]()
    deadline = time.monotonic() + ANSWER_S
    while len(ages) < len(first) and time.monotonic() < deadline:
        for place, records in consumer.poll(timeout_ms=500).items():
            produced = datetime.fromtimestamp(records[0].timestamp / 1000, UTC)
            ages.setdefault(place, max(0, int((now - produced).total_seconds())))
    return ages
