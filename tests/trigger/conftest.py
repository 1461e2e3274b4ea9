from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.trigger.ground import Street

NewStreet = Callable[..., Street]


@pytest.fixture
def new_street(kafka: str) -> Iterator[NewStreet]:
    """A maker of streets; `dead_letters=False` leaves their topic out."""
    streets = []

    def make(partitions: int = 1, *, dead_letters: bool = True) -> Street:
        street = Street(kafka, partitions)
        if dead_letters:
            street.open_dead_letters()
        streets.append(street)
        return street

    yield make
    for street in streets:
        street.close()


@pytest.fixture
def street(new_street: NewStreet) -> Street:
    """One partition: whatever comes at the same time comes from lanes of it."""
    return new_street()
