from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kit.kafka import OwnTopic

NewOwnTopic = Callable[..., OwnTopic]


@pytest.fixture
def new_own_topic(kafka: str) -> Iterator[NewOwnTopic]:
    """A maker of topics, each with a topic for its dead letters unless `dead_letters=False`."""
    topics = []

    def make(partitions: int = 1, *, dead_letters: bool = True) -> OwnTopic:
        own_topic = OwnTopic(kafka, partitions)
        if dead_letters:
            own_topic.open_dead_letters()
        topics.append(own_topic)
        return own_topic

    yield make
    for own_topic in topics:
        own_topic.close()


@pytest.fixture
def own_topic(new_own_topic: NewOwnTopic) -> OwnTopic:
    """A topic with one partition."""
    return new_own_topic()
