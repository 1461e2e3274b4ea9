"""The doors under load: pods come and go, and no call is lost."""

from __future__ import annotations

import time
from typing import Final

import pytest

from tests.cluster.kubectl import NAMESPACE, Kubectl, until
from tests.cluster.visitors import Visitors
from tests.cluster.watch import Watch

pytestmark = pytest.mark.cluster

TO_ZERO_S: Final = 240.0
GROWS_S: Final = 90.0
# More than one pod answers at once (containerConcurrency 20) and no more than two do. Long enough for a pod to start.
POLLS, POLL_S, ROUNDS = 36, 25, 2
LOAD_CLIENTS, LOAD_S = 4, 24.0
LONG_POLL_S: Final = 10


def test_a_door_grows_from_nothing_under_load_and_goes_back(
    kubectl: Kubectl, visitors: Visitors, watch: Watch
) -> None:
    until("account has no pod", lambda: kubectl.pods("account"), TO_ZERO_S, lambda pods: not pods)

    answer = visitors.ask("/v1/entitlements")
    assert answer["status"] == 200, answer
    watch.note("cold start: account answers its first call from 0 pods", answer["seconds"])
    assert len(kubectl.pods("account")) >= 1

    began = time.monotonic()
    with visitors.visit("poll", count=POLLS, seconds=POLL_S, rounds=ROUNDS) as visit:
        visit.line("polling")
        began = time.monotonic()
        until(
            "account has more than one ready pod",
            lambda: kubectl.ready_pods("account"),
            GROWS_S,
            lambda pods: len(pods) > 1,
        )
        watch.note(f"account: from 1 to 2 ready pods under {POLLS} calls at once", time.monotonic() - began)
        polls = visit.line("polled")["polls"]
    assert [poll["result"] for poll in polls] == ["200"] * POLLS * ROUNDS

    with watch.measured("account: from n pods to 0"):
        until("account has no pod again", lambda: kubectl.pods("account"), TO_ZERO_S, lambda pods: not pods)


def test_a_pod_deleted_under_load_loses_no_call(kubectl: Kubectl, visitors: Visitors, watch: Watch) -> None:
    before = until("create-order has a ready pod", lambda: kubectl.ready_pods("create-order"), GROWS_S)
    with visitors.visit("load", count=LOAD_CLIENTS, seconds=LOAD_S) as visit:
        visit.line("loading")
        time.sleep(LOAD_S / 4)  # so that calls are under way whenever it happens
        victim = before[0]
        kubectl("delete", "pod", victim, "-n", NAMESPACE, "--wait=false")
        began = time.monotonic()
        until(
            "another pod of create-order is ready",
            lambda: kubectl.ready_pods("create-order"),
            GROWS_S,
            lambda pods: bool(set(pods) - {victim}),
        )
        watch.note("create-order: pod deleted to another one ready", time.monotonic() - began)
        loaded = visit.line("loaded")
    assert victim not in {pod["metadata"]["name"] for pod in kubectl.pods("create-order")}
    assert set(loaded["counts"]) <= {"201", "202"}, loaded["counts"]
    assert sum(loaded["counts"].values()) > LOAD_CLIENTS
    watch.note(
        f"orders while a pod was deleted: {sum(loaded['counts'].values())}, none lost; slowest",
        loaded["worst_s"],
    )


def test_a_long_poll_outlives_the_pod_that_answers_it(
    kubectl: Kubectl, visitors: Visitors, watch: Watch
) -> None:
    with visitors.visit("poll", count=1, seconds=LONG_POLL_S) as visit:
        visit.line("polling")
        time.sleep(1)  # the door has taken the call
        victims = kubectl.ready_pods("account")
        assert victims
        kubectl("delete", "pod", *victims, "-n", NAMESPACE, "--wait=false")
        (poll,) = visit.line("polled")["polls"]
    assert poll["result"] == "200", poll
    assert poll["seconds"] >= LONG_POLL_S
    watch.note(f"long poll of {LONG_POLL_S} s whose pod was deleted", poll["seconds"])
    gone = {pod["metadata"]["name"] for pod in kubectl.pods("account")}
    assert not gone & set(victims)
