"""What stands in the cluster after the deployment, and one order from the gateway to a mail."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from shared_lib.contract.routes import DOORS
from tests.cluster.kubectl import NAMESPACE, Kubectl, condition, until
from tests.cluster.visitors import Visitors
from tests.cluster.watch import Watch

pytestmark = pytest.mark.cluster

VERSIONS: Final = Path(__file__).parents[2] / "shared_lib" / "store" / "migrations" / "versions"
# The autoscaler looks back for a minute and leaves the last pod half a minute more.
TO_ZERO_S: Final = 240.0
MAIL_S: Final = 120.0
# But for the news of a changed auto_renew, which waits a minute.
UNSENT: Final = "SELECT count(*) FROM outbox WHERE type <> 'billing.job.tell_auto_renew'"
PUBLIC_DOORS: Final = {"create-order", "webhook", "refund", "subscription", "account"}


def test_the_migration_job_completes_and_the_database_is_at_the_newest_version(kubectl: Kubectl) -> None:
    job = kubectl.one("job", "migrate")
    assert condition(job, "Complete") == "True", job["status"]
    newest = max(re.match(r"\d+", path.name)[0] for path in VERSIONS.glob("[0-9]*.py"))  # type: ignore[index]
    assert kubectl.sql("SELECT version_num FROM alembic_version") == newest


def test_nine_doors_are_ready_in_a_namespace_that_refuses_power(kubectl: Kubectl) -> None:
    labels = kubectl.one("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    careless = kubectl.run(
        "run", "careless", "-n", NAMESPACE, "--image=dev.local/boxoffice:local", "--dry-run=server"
    )
    assert careless.returncode != 0
    assert "violates PodSecurity" in careless.stderr

    services = kubectl.all("services.serving.knative.dev")
    assert {one["metadata"]["name"] for one in services} == {door.replace("_", "-") for door in DOORS}
    assert len(services) == 9
    assert {one["metadata"]["name"]: condition(one) for one in services if condition(one) != "True"} == {}
    behind = [one for one in services if one["status"]["observedGeneration"] != one["metadata"]["generation"]]
    assert behind == []


def test_only_the_doors_of_customers_and_providers_have_an_address_outside(kubectl: Kubectl) -> None:
    urls = {
        one["metadata"]["name"]: one["status"]["url"] for one in kubectl.all("services.serving.knative.dev")
    }
    inside = {name for name, url in urls.items() if url.endswith(f".{NAMESPACE}.svc.cluster.local")}
    assert set(urls) - inside == PUBLIC_DOORS


def test_an_order_comes_from_the_gateway_to_a_mail_through_the_trigger_which_wakes_notify(
    kubectl: Kubectl, visitors: Visitors, watch: Watch
) -> None:
    with watch.measured("notify: to 0 pods after the deployment"):
        until("notify has no pod", lambda: kubectl.pods("notify"), TO_ZERO_S, lambda pods: not pods)
    name = f"visitor-{uuid.uuid4().hex[:12]}"

    with _trigger_away(kubectl):
        bought = visitors.buy(name)
        assert bought["order"]["status"] == "paid", bought
        watch.note("an order: placed to paid", bought["seconds"])
        # Its events are on Kafka, and nothing but the trigger brings them on.
        until("the outbox is empty", lambda: kubectl.sql(UNSENT), MAIL_S, "0".__eq__)
        assert kubectl.pods("notify") == []
        assert f"{name}@example.com" not in visitors.recipients()

    began = time.monotonic()
    until("notify has a pod", lambda: kubectl.pods("notify"), MAIL_S)
    watch.note("trigger started again: to the first pod of notify", time.monotonic() - began)
    until("the mail left", visitors.recipients, MAIL_S, lambda sent: f"{name}@example.com" in sent)
    watch.note("trigger started again: to the mail, notify from 0", time.monotonic() - began)

    with watch.measured("notify: from 1 pod to 0"):
        until("notify has no pod again", lambda: kubectl.pods("notify"), TO_ZERO_S, lambda pods: not pods)


@contextmanager
def _trigger_away(kubectl: Kubectl) -> Iterator[None]:
    kubectl.scale("deployment/trigger", 0)
    try:
        until("the trigger is gone", lambda: kubectl.labelled("trigger"), MAIL_S, lambda pods: not pods)
        yield
    finally:
        kubectl.scale("deployment/trigger", 1)


def test_an_order_reaches_a_mail_in_one_go(visitors: Visitors, watch: Watch) -> None:
    name = f"visitor-{uuid.uuid4().hex[:12]}"
    began = time.monotonic()
    assert visitors.buy(name)["order"]["status"] == "paid"
    until("the mail left", visitors.recipients, MAIL_S, lambda sent: f"{name}@example.com" in sent)
    watch.note("an order: first call to mail seen, notify from 0", time.monotonic() - began)


@pytest.mark.parametrize("door", ["notify", "renew", "reconcile"])
def test_an_event_that_is_not_signed_is_refused(door: str, visitors: Visitors) -> None:
    answer = visitors.event(f"http://{door}.{NAMESPACE}.svc.cluster.local")
    assert answer["status"] == 401, answer
    assert answer["type"] == "application/problem+json"
