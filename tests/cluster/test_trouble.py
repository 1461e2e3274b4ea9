"""PostgreSQL away, and an image that is not there."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.cluster.kubectl import NAMESPACE, Kubectl, condition, until
from tests.cluster.visitors import Told, Visitors
from tests.cluster.watch import Watch

pytestmark = pytest.mark.cluster

AWAY_S: Final = 60.0
# More than the writers of a door, so that some wait behind others.
AT_ONCE: Final = 6
OWN_ANSWER_S: Final = 5.0
BACK_S: Final = 180.0
REPORTED_S: Final = 120.0
BAD_IMAGE: Final = "dev.local/boxoffice:never-built"
WAITING: Final = "from infra.kubernetes.deploy import wait; wait({'create-order'}, 300)"


def test_without_postgresql_create_order_answers_503_itself_and_goes_on_afterwards(
    kubectl: Kubectl, visitors: Visitors, watch: Watch
) -> None:
    until("create-order has a ready pod", lambda: kubectl.ready_pods("create-order"), BACK_S)
    before = _restarts(kubectl)
    with _postgresql_away(kubectl):
        began = time.monotonic()
        answers: list[Told] = []
        while time.monotonic() - began < AWAY_S:
            answers += visitors.place(AT_ONCE)
            time.sleep(1)
        assert not kubectl.labelled("postgres"), "it came back meanwhile"
        assert _restarts(kubectl) == before, "the door was restarted, or is not ready any more"
    assert [answer for answer in answers if not _is_the_doors_own(answer)] == []
    slowest = max(answer["seconds"] for answer in answers)
    watch.note(f"PostgreSQL away for {AWAY_S:.0f} s: slowest of {len(answers)} answers (503)", slowest)
    assert slowest < OWN_ANSWER_S

    began = time.monotonic()
    until("an order is taken again", visitors.place, BACK_S, _are_taken)
    watch.note("PostgreSQL back: to the first order taken", time.monotonic() - began)
    bought = visitors.buy(f"visitor-{uuid.uuid4().hex[:12]}")
    assert bought["order"]["status"] == "paid", bought


def _restarts(kubectl: Kubectl) -> dict[str, int]:
    """Restarts of each ready pod of create-order."""
    pods = [pod for pod in kubectl.pods("create-order") if condition(pod) == "True"]
    assert pods
    return {
        pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
        for pod in pods
    }


def _are_taken(answers: list[Told]) -> bool:
    return all(answer["status"] in (201, 202) for answer in answers)


def _is_the_doors_own(answer: Told) -> bool:
    """NGINX says 503 as well, with another sentence; Knative's activator would send plain text."""
    if answer["status"] != 503 or answer["type"] != "application/problem+json":
        return False
    problem = json.loads(answer["body"])
    return problem["code"] == "unavailable" and not problem["detail"].startswith("The function ")


@contextmanager
def _postgresql_away(kubectl: Kubectl) -> Iterator[None]:
    kubectl.scale("statefulset/postgres", 0)
    try:
        until("PostgreSQL is gone", lambda: kubectl.labelled("postgres"), BACK_S, lambda pods: not pods)
        yield
    finally:
        kubectl.scale("statefulset/postgres", 1)
        status = ("statefulset", "postgres")
        until("PostgreSQL is back", lambda: kubectl.one(*status)["status"].get("readyReplicas"), BACK_S)


def test_an_image_that_is_not_there_is_reported_with_its_reason_and_orders_go_on(
    kubectl: Kubectl, visitors: Visitors, watch: Watch
) -> None:
    path = "/spec/template/spec/containers/0/image"
    good = kubectl.one("services.serving.knative.dev", "create-order")["spec"]["template"]["spec"][
        "containers"
    ][0]["image"]

    def roll_out(image: str) -> None:
        patch = json.dumps([{"op": "replace", "path": path, "value": image}])
        kubectl(
            "patch",
            "services.serving.knative.dev",
            "create-order",
            "-n",
            NAMESPACE,
            "--type=json",
            "-p",
            patch,
        )

    assert good != BAD_IMAGE
    try:
        began = time.monotonic()
        roll_out(BAD_IMAGE)
        waited = kubectl.ours("-c", WAITING, within_s=400)
        reported_s = time.monotonic() - began
        assert waited.returncode != 0, "the deploy stage takes the door for ready"
        assert "create-order" in waited.stderr
        assert "ImagePullBackOff" in waited.stderr or "ErrImagePull" in waited.stderr, waited.stderr
        assert BAD_IMAGE in waited.stderr
        watch.note("an image that is not there: rolled out to reported", reported_s)
        assert reported_s < REPORTED_S
        assert _are_taken(visitors.place())  # the revision before goes on
    finally:
        roll_out(good)
        kind = "services.serving.knative.dev"
        until(
            "create-order is ready again",
            lambda: condition(kubectl.one(kind, "create-order")),
            BACK_S,
            "True".__eq__,
        )
