"""Kafka that asks for TLS and a password: every client of ours proves itself, and speaks to no other broker."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError
from pydantic import ValidationError

from infra.kafka.broker import EmbeddedKafka
from shared_lib.contract.events import PLAYBACK
from shared_lib.settings import KafkaAccess
from shared_lib.workers import topics
from shared_lib.workers.kafka_client import opened, servers
from shared_lib.workers.trigger import letterbox
from tests.kit.kafka import guarded_broker, kafka_access
from tests.kit.tls import authority

ROOT = Path(__file__).parents[2]
PASSWORD = "of-the-relay"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[EmbeddedKafka]:
    """A broker whose second listener wants TLS and the password of the user `boxoffice`."""
    authority().pem(folder / "stranger.crt")
    with guarded_broker(folder, {"boxoffice": PASSWORD}) as broker:
        yield broker


@pytest.fixture
def access(guarded: EmbeddedKafka, folder: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in kafka_access(folder, "boxoffice", PASSWORD).items():
        monkeypatch.setenv(name, value)
    assert guarded.running
    return monkeypatch


@pytest.mark.kafka
@pytest.mark.usefixtures("access")
def test_topics_producers_and_consumers_prove_themselves(guarded: EmbeddedKafka) -> None:
    bootstrap = [guarded.guarded_bootstrap]
    assert set(topics.create(bootstrap)) == {topic.name for topic in topics.TOPICS}
    producer = opened(KafkaProducer, **servers(bootstrap))
    producer.send(PLAYBACK, b"x").get(30)
    producer.close()
    assert letterbox.waiting(bootstrap) == []


@pytest.mark.kafka
# The client library forgets a socket whose handshake failed; the collector finds it, here and not in another test.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("name", "value"),
    [("PASSWORD", "of-another"), ("SECURITY", "PLAINTEXT"), ("SECURITY", "SSL"), ("CA_FILE", "stranger.crt")],
)
def test_without_the_password_or_at_another_broker_nothing_is_said(
    guarded: EmbeddedKafka, access: pytest.MonkeyPatch, folder: Path, name: str, value: str
) -> None:
    access.setenv(f"BOXOFFICE_KAFKA_{name}", str(folder / value) if name == "CA_FILE" else value)
    with pytest.raises((KafkaError, OSError)):
        topics.create([guarded.guarded_bootstrap], timeout_s=1.0)
    gc.collect()


@pytest.mark.parametrize("missing", ["USERNAME", "PASSWORD"])
def test_sasl_without_a_name_or_a_password_stops_a_process(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("BOXOFFICE_KAFKA_SECURITY", "SASL_SSL")
    for name in {"USERNAME", "PASSWORD"} - {missing}:
        monkeypatch.setenv(f"BOXOFFICE_KAFKA_{name}", "x")
    with pytest.raises(ValidationError, match="SASL_SSL needs kafka_username and kafka_password"):
        KafkaAccess()


def test_every_client_of_ours_finds_the_brokers_in_one_place() -> None:
    naming = [path for path in (ROOT / "shared_lib").rglob("*.py") if "bootstrap_servers" in path.read_text()]
    assert [path.name for path in naming] == ["kafka_client.py"]
