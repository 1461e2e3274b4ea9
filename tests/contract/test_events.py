"""Events: what is documented is what doors read, and what travels fits its schema."""

from __future__ import annotations

import importlib
import json
from typing import Any, get_type_hints

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]
from pydantic import BaseModel

from shared_lib.billing.events import DATA, FACTS, JOBS, FactType, JobType
from shared_lib.cli.events_schema import events_schema, schema_of
from shared_lib.contract.events import (
    DEAD_LETTERS,
    EVERY_DATA,
    OUR_JOBS,
    OUR_TICKS,
    OURS,
    PLAYBACK,
    PLAYBACK_STARTED,
    WHEN,
    WORK,
    Planned,
    Tick,
    topic_of,
)
from shared_lib.contract.routes import EVENT_ROUTES, taker_of
from shared_lib.settings import Settings
from shared_lib.workers.topics import TOPICS

SCHEMA: dict[str, Any] = json.loads(events_schema())
MODELS = {
    JobType.START_PAYMENT: ("create_order", "StartPayment"),
    JobType.CHARGE_RENEWALS: ("renew", "ChargeRenewals"),
    JobType.START_REFUND: ("refund", "StartRefund"),
    JobType.FIND_REFUNDS: ("refund", "FindRefunds"),
    JobType.SEND_NOTIFICATION: ("notify", "SendNotification"),
    PLAYBACK_STARTED: ("playback", "PlaybackStarted"),
}


def test_every_type_is_described_once() -> None:
    assert set(WHEN) == set(DATA) == set(FactType)
    assert set(WORK) == {*JobType, *Tick, PLAYBACK_STARTED}
    assert set(EVERY_DATA) == {*WHEN, *WORK}
    assert not {*Planned} & set(EVERY_DATA)


def test_every_type_has_a_door_and_a_topic() -> None:
    for kind in EVERY_DATA:
        assert taker_of(kind) is not None, kind
        assert kind.startswith(OURS) or kind == PLAYBACK_STARTED
        wanted = FACTS if kind in WHEN else JOBS if kind.startswith(OUR_JOBS) else PLAYBACK
        assert kind.startswith(OUR_TICKS) or topic_of(kind) == wanted
    assert {taker_of(kind) for kind in WHEN} == {EVENT_ROUTES[OURS]}
    assert taker_of("weather.changed") is None


def test_the_topics_are_those_of_the_contract() -> None:
    read = (JOBS, FACTS, PLAYBACK)
    assert [topic.name for topic in TOPICS] == [FACTS, JOBS, PLAYBACK, DEAD_LETTERS]
    assert Settings.model_fields["trigger_topics"].default == read, "shared_lib/settings.py: trigger_topics"


@pytest.mark.parametrize("kind", MODELS)
def test_a_door_reads_the_data_that_is_documented(kind: str) -> None:
    door, name = MODELS[kind]
    model: type[BaseModel] = getattr(importlib.import_module(f"functions.{door}.main"), name)
    assert set(model.model_fields) == set(get_type_hints(EVERY_DATA[kind]))


def test_the_schema_is_valid_and_tells_data_apart() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    paid = Draft202012Validator(SCHEMA["$defs"]["billing.job.charge_renewals"])
    paid.validate({"payment_ids": ["pay_1"], "a key of tomorrow": 1})
    for wrong in ({}, {"payment_ids": "pay_1"}, {"payment_ids": [1]}):
        with pytest.raises(ValidationError):
            paid.validate(wrong)
    with pytest.raises(TypeError, match="no schema"):
        schema_of(set)
