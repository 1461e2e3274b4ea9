"""The configuration of k8s/, in a real NGINX: a door is called by the name and the Host that Knative's ingress knows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.kubernetes.generate import DOMAIN, nginx
from infra.nginx.doors import service
from shared_lib.contract.routes import AFTER_PAYMENT, WAYS
from tests.compose.nginx import Gateway, nginx_binary, running_nginx

DOORS = sorted({service(way.door) for way in WAYS})


@pytest.fixture(scope="module", params=["kind", "production"])
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(overlay: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Every door and the sandbox answer, each under its name inside the cluster alone."""
    if nginx_binary() is None:
        pytest.skip("no nginx here: apt-get install nginx-light")
    conf = nginx(sandbox=overlay == "kind")
    for there, here in {
        "resolver kube-dns.kube-system.svc.cluster.local valid=2s": "resolver 127.0.0.11 valid=2s",
        f"http://$door.{DOMAIN}$request_uri": f"http://$door.{DOMAIN}:8080$request_uri",
    }.items():
        assert there in conf
        conf = conf.replace(there, here)
    with running_nginx(tmp_path_factory.mktemp(overlay), conf=conf) as running:
        for number, name in enumerate([*DOORS, "sandbox"]):
            running.open(f"{name}.{DOMAIN}", f"127.2.0.{10 + number}")
        yield running


@pytest.mark.parametrize(
    ("method", "path", "door"),
    [
        ("POST", "/v1/orders?wait=2", "create-order"),
        ("GET", "/v1/orders/ord_1?wait=2", "account"),
        ("POST", "/v1/refunds", "refund"),
        ("PATCH", "/v1/subscriptions/sub_1", "subscription"),
        ("POST", "/v1/webhooks/sandbox", "webhook"),
    ],
)
def test_a_door_is_called_by_the_name_it_answers_to(
    gateway: Gateway, method: str, path: str, door: str
) -> None:
    headers = {"Host": "tickets.cinema.example", "Prefer": "wait=2", "Idempotency-Key": "k" * 16}
    told = gateway.ask(method, path, headers=headers)
    assert (told.status, told.body["door"]) == (200, f"{door}.{DOMAIN}")
    assert told.body["path"] == path
    assert told.body["headers"]["host"] == f"{door}.{DOMAIN}"
    assert told.body["headers"]["prefer"] == "wait=2"
    assert told.body["headers"]["idempotency-key"] == "k" * 16


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/webhooks/sandbox"])
def test_no_caller_passes_for_an_event_or_chooses_the_host(gateway: Gateway, path: str) -> None:
    """Knative's ingress goes by Host alone: a caller's own would lead to a private door."""
    headers = {"Host": f"renew.{DOMAIN}", "Ce-Id": "1", "Ce-Type": "billing.tick.renewal"}
    told = gateway.ask("POST", path, b"{}", headers)
    assert told.body["headers"]["host"] != headers["Host"]
    assert not [name for name in told.body["headers"] if name.startswith("ce-")]


@pytest.mark.parametrize("path", ["/events", "/readyz", "/v1/renew", "/v1/events", "/pay", "/"])
def test_nothing_else_leads_anywhere(gateway: Gateway, path: str) -> None:
    told = gateway.ask("POST", path, b"{}", {"Host": f"renew.{DOMAIN}"})
    assert (told.status, told.body["code"]) == (404, "not_found")


def test_who_paid_by_a_mail_comes_back_to_a_page_in_every_overlay(gateway: Gateway) -> None:
    told = gateway.ask("GET", AFTER_PAYMENT)
    assert (told.status, b"You may close this page" in told.body) == (200, True)


@pytest.mark.parametrize("path", ["/pay/chk_1", "/thanks", "/account"])
def test_the_page_of_the_sandbox_is_shown_on_kind_only(gateway: Gateway, overlay: str, path: str) -> None:
    told = gateway.ask("GET", path)
    assert told.status == (200 if overlay == "kind" else 404)
    if told.status == 200 and path.startswith("/pay/"):
        assert told.body["door"] == f"sandbox.{DOMAIN}"
