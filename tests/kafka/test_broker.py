"""The broker itself: topics are created once, it keeps its data over a stop and a kill, and it ends with its parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from infra.local.processes import ROOT
from shared_lib.workers import topics
from tests.kit.kafka_fixtures import NewTopic
from tests.kit.waiting import PATIENCE_S

if TYPE_CHECKING:
    from infra.kafka.choice import OwnKafka

pytestmark = pytest.mark.kafka


def test_topics_are_created_once_with_their_partitions(kafka: str) -> None:
    assert topics.create([kafka]) == []
    with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
    assert found["billing.events"] == found["billing.jobs"] == found["cinema.playback"] == 12
    assert found["billing.dead-letters"] == 1


def test_nobody_there_is_an_error_after_the_time_given() -> None:
    with pytest.raises(Exception, match=r"(?i)bootstrap|timeout|unable"):
        topics.create(["127.0.0.1:9"], timeout_s=0.5)


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_stop_and_a_kill(own_kafka: OwnKafka, new_topic: NewTopic) -> None:
    topic = new_topic("kept", partitions=1, bootstrap=own_kafka.bootstrap)
    for end in (own_kafka.stop, own_kafka.kill):
        with closing(KafkaProducer(bootstrap_servers=own_kafka.bootstrap)) as producer:
            producer.send(topic, end.__name__.encode()).get(PATIENCE_S)
        end()
        assert not own_kafka.running
        own_kafka.start()
    with closing(
        KafkaConsumer(
            topic,
            bootstrap_servers=own_kafka.bootstrap,
            auto_offset_reset="earliest",
            consumer_timeout_ms=int(PATIENCE_S * 1000),
        )
    ) as consumer:
        assert [next(consumer).value for _ in range(2)] == [b"stop", b"kill"]


@pytest.mark.slow
def test_the_broker_of_a_killed_parent_is_gone() -> None:
    script = """if True:
        import time
        from infra.kafka.broker import EmbeddedKafka
        broker = EmbeddedKafka().start()
        print(broker.pid, broker._home, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid_text, home = parent.stdout.readline().split()
        pid = int(pid_text)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    shutil.rmtree(home)  # no process was left to do it
    deadline = time.monotonic() + PATIENCE_S
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
