"""Each benchmark runs, with tiny sizes. The figures are not looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import cold, doors, latency, million, orders, parts, provider_call, renewals
from benchmarks.figures import Contender, Leg, Report, percentile, ratios, rotated, table
from benchmarks.instant import InstantProvider
from benchmarks.stage import Stage, open_stage
from shared_lib.contract.routes import DOORS
from shared_lib.providers.base import PaymentProvider

pytestmark = pytest.mark.slow


@pytest.fixture
def stage() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened


def quiet(_: str) -> None:
    """Reports nothing."""


@pytest.mark.parametrize("over_http", [True, False])
def test_every_way_of_ordering_stores_what_it_answers(stage: Stage, over_http: bool) -> None:
    # More customers than requests of a leg on a fast machine: a customer who comes again may order a title for the
    # second time, and the door then answers with the order that is open.
    options = orders.Options(
        rounds=1, seconds=1, warmup_s=0.3, connections=4, customers=8_000, history=200, generator="python",
        over_http=over_http,
    )  # fmt: skip
    report = orders.measure(stage, options, quiet)
    assert [one.name for one in report.contenders] == [
        "ours", "ours async", "ours twice", "a", "a asyncpg", "b", "w", "w twice", "c", "d",
    ]  # fmt: skip
    assert all(one.legs[0].count > 0 for one in report.contenders)
    assert "| ours: the door |" in table(report)


def test_an_order_is_measured_beside_each_of_its_parts(stage: Stage) -> None:
    options = parts.Options(rounds=1, seconds=1, count=64, customers=8_000, connections=4, generator="python")
    report = parts.measure(stage, options, quiet)
    assert [one.name for one in report.contenders] == list(parts.TITLES_OF_PARTS)
    assert "| ours: an order through the door" in table(report)


def test_every_way_of_renewing_charges_each_subscription_once(stage: Stage) -> None:
    options = renewals.Options(rounds=2, renewals=400, orm_sample=5, job_sample=20, sql_sample=50)
    report = renewals.measure(stage, options, quiet)
    assert {one.name: [leg.count for leg in one.legs] for one in report.contenders} == {
        "ours": [200, 200],
        "ours twice": [200, 200],
        "a": [5, 5],
        "j": [20, 20],
        "j twice": [20, 20],
        "b": [50, 50],
    }
    assert report.notes[-1].startswith("Checked: 990 subscriptions, each charged once")


def test_charges_that_take_their_time_are_in_flight_together(stage: Stage) -> None:
    report = latency.measure(stage, latency.Options(rounds=1, renewals=40, latencies_ms=[200, 300]), quiet)
    assert [(one.name, one.legs[0].count) for one in report.contenders] == [("200 ms", 40), ("300 ms", 40)]
    assert report.notes[-1].startswith("Checked: 80 subscriptions, each charged once")


def test_a_million_renewals_are_watched_from_the_first_to_the_last(stage: Stage) -> None:
    report = million.measure(stage, 300, minutes=10, say=quiet)
    assert "| 300 | " in report
    assert "Checked: 300 subscriptions, each charged once" in report


def test_every_server_starts_cold_and_takes_an_order(stage: Stage) -> None:
    report = cold.measure(stage, 1, quiet)
    assert all(len(one.legs) == 1 for one in report.contenders)


def test_all_doors_start_and_answer_their_first_request(stage: Stage) -> None:
    found = doors.measure(stage)
    assert [one.name for one in found] == list(DOORS)
    assert "| together |" in doors.shown(found)


def test_the_instant_provider_fits_the_port() -> None:
    assert isinstance(InstantProvider(), PaymentProvider)


def test_a_ratio_compares_legs_of_the_same_round() -> None:
    ours = Contender("ours", "", [Leg(per_s=10), Leg(per_s=90)])
    theirs = Contender("a", "", [Leg(per_s=1), Leg(per_s=30)])
    assert ratios(ours, theirs, lambda leg: leg.per_s) == [10, 3]
    assert "6.50 (3.00-10.0)" in table(Report("", "1/s", [ours, theirs], baseline="a"))


def test_every_contender_begins_a_round() -> None:
    assert [rotated("abc", n)[0] for n in range(4)] == ["a", "b", "c", "a"]


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (50, 51.0), (99, 100.0), (100, 100.0)])
def test_percentiles_are_measured_values(percent: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], percent) == value


async def test_every_client_gets_the_providers_answer(stage: Stage) -> None:
    found = await provider_call.measure(stage.start_provider(), rounds=1, posts=4)
    assert {len(legs) for legs in found.values()} == {len(provider_call.IN_FLIGHT)}
    assert "| our transport |" in provider_call.table(found)
