"""The one way in, as NGINX itself does it: what it leads to, what it keeps away, and what it answers alone."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.nginx.doors import service
from infra.standins.gateway import AFTER_PAYMENT_PAGES
from shared_lib.contract.routes import AFTER_PAYMENT, WAYS, door_of
from tests.compose.nginx import Gateway, nginx_binary, running_nginx
from tests.kit.waiting import PATIENCE_S

TOKEN = "Bearer head.payload.signature-of-{:06}"


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if nginx_binary() is None:
        pytest.skip("no nginx here: apt-get install nginx-light")
    folder: Path = tmp_path_factory.mktemp("nginx")
    with running_nginx(folder) as gateway:
        for number, name in enumerate([*(service(way.door) for way in WAYS), "sandbox"]):
            gateway.open(name, f"127.1.0.{10 + number}")
        yield gateway


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/orders",
        "/v1/orders/ord_1/cancel",
        "/v1/refunds",
        "/v1/webhooks/sandbox",
        "/v1/webhooks",
        "/v1/subscriptions/sub_1",
        "/v1/catalog",
    ],
)
def test_a_call_reaches_its_door_as_it_came(nginx: Gateway, method: str, path: str) -> None:
    told = nginx.ask(method, path + "?wait=2&x=%2F", b"{}" if method != "GET" else None)
    door = door_of(method, path)
    if door is None:
        assert (told.status, told.body["code"]) == (404, "not_found")
    else:
        assert (told.status, told.body["door"]) == (200, service(door))
        assert (told.body["method"], told.body["path"]) == (method, path + "?wait=2&x=%2F")
        assert told.body["bytes"] == (2 if method != "GET" else 0)


@pytest.mark.parametrize(
    "path",
    [
        "/events",
        "/v1/orders/../../events",
        "/v1/orders/%2e%2e/%2e%2e/events",
        "/v1/orders/..%2f..%2fevents",
        "/v1/orders/%65vents",
        "//events",
        "/v1//events",
        "/v1/events",
        "/v1/orders;/events",
        "/readyz",
        "/_/health",
        "/_/ready",
        "/v1/_/health",
        "/control/clock",
        "/token",
        "/pay",
        "/v1",
        "/v2/orders",
        "/",
    ],
)
def test_nothing_leads_to_where_events_are_taken(nginx: Gateway, path: str) -> None:
    told = nginx.ask("POST", path, b"{}")
    assert (told.status, told.body["code"]) == (404, "not_found")
    assert told.headers["content-type"] == "application/problem+json"
    assert told.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/webhooks/sandbox"])
def test_nobody_outside_can_pass_a_call_off_as_an_event(nginx: Gateway, path: str) -> None:
    event = {
        "ce-type": "billing.tick.renewal",
        "Ce-Id": "evt_1",
        "CE-Source": "/boxoffice",
        "ce-specversion": "1.0",
    }
    kept = {
        "Idempotency-Key": "k",
        "Authorization": TOKEN.format(1),
        "Prefer": "respond-async",
        "traceparent": "00-aa",
    }
    signed = {"webhook-signature": "v1,x", "webhook-id": "msg_1"}
    told = nginx.ask("POST", path, b"{}", event | kept | signed | {"X-Forwarded-For": "8.8.8.8"})
    headers = told.body["headers"]
    assert not [name for name in headers if name.startswith("ce-")]
    assert {name.lower() for name in kept} <= headers.keys()
    assert (set(signed) <= headers.keys()) is ("webhooks" in path)
    assert headers["x-forwarded-for"] == "127.0.0.1"


def test_a_body_ends_at_64_kib_however_it_is_sent(nginx: Gateway) -> None:
    assert nginx.ask("POST", "/v1/orders", b" " * 65536).body["bytes"] == 65536
    for body in (b" " * 65537, iter([b" " * 65536, b" "])):
        told = nginx.ask("POST", "/v1/orders", body)
        assert (told.status, told.body["code"]) == (413, "body_too_large")


def test_a_callers_request_id_is_kept_when_it_looks_like_one(nginx: Gateway) -> None:
    for given, kept in (("abcdefgh1", True), ("x" * 65, False), ('"} {"a', False), ("", False)):
        told = nginx.ask("GET", "/v1/catalog", headers={"X-Request-Id": given})
        assert (told.headers["x-request-id"] == given) is kept
        assert told.body["headers"]["x-request-id"] == told.headers["x-request-id"]
    said = [json.loads(line) for line in nginx.log.read_text().splitlines()]
    assert "abcdefgh1" in {one["request_id"] for one in said}


def test_what_browsers_must_not_do_is_said_once(nginx: Gateway) -> None:
    told = nginx.ask("GET", "/v1/catalog")
    assert told.headers["x-content-type-options"] == "nosniff"
    assert told.headers["cache-control"] == "no-store"
    assert told.headers["content-security-policy"].startswith("default-src 'none'")
    assert "/" not in told.headers["server"]  # no version
    page = nginx.ask("GET", "/pay/sp_1")
    assert (page.body["door"], page.headers["content-security-policy"]) == ("sandbox", "default-src 'self'")
    for answer in (told, page):
        assert [name for name, times in Counter(answer.all_headers).items() if times > 1] == []


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("", "en"), ("de,ru;q=0.5", "en"), ("ru-RU,ru;q=0.9,en;q=0.8", "ru"), ("RU", "ru")],
)
def test_who_paid_by_a_mail_comes_back_to_a_page_in_a_language_of_the_mails(
    nginx: Gateway, wanted: str, language: str
) -> None:
    told = nginx.ask("GET", f"{AFTER_PAYMENT}?order_id=ord_1", headers={"Accept-Language": wanted})
    assert (told.status, told.body.decode()) == (200, AFTER_PAYMENT_PAGES[language])
    assert told.headers["content-type"] == "text/html; charset=utf-8"


def test_what_a_door_needs_for_cors_passes_and_every_origin_may_read_our_own_problems(nginx: Gateway) -> None:
    preflight = {
        "origin": "https://www.cinema.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,idempotency-key",
    }
    told = nginx.ask("OPTIONS", "/v1/orders", headers=preflight)
    assert {name: told.body["headers"].get(name) for name in preflight} == preflight
    assert "access-control-allow-origin" not in told.headers  # the door says who may read its replies
    refused = nginx.ask("POST", "/v1/orders", b" " * 65537, preflight)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (413, "*")
    assert refused.headers["access-control-expose-headers"] == "Retry-After, X-Request-Id"


def test_who_asks_too_much_is_held_back_and_nobody_else(nginx: Gateway) -> None:
    answers = [nginx.ask("GET", "/v1/orders", headers={"Authorization": TOKEN.format(7)}) for _ in range(120)]
    refused = [told for told in answers if told.status == 429]
    assert len(refused) >= 20
    assert answers[0].status == 200
    assert (refused[0].body["code"], refused[0].headers["retry-after"]) == ("rate_limited", "1")
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert nginx.ask("GET", "/v1/orders", headers={"Authorization": TOKEN.format(8)}).status == 200


def test_a_doors_own_time_to_come_back_is_kept(nginx: Gateway) -> None:
    told = nginx.ask("GET", "/v1/orders/busy")
    assert (told.status, told.headers["retry-after"], told.body["door"]) == (503, "7", "account")


def test_a_call_whose_answer_is_lost_is_not_made_again(nginx: Gateway) -> None:
    told = nginx.ask("POST", "/v1/orders/vanish", b"{}")
    assert (told.status, told.body["code"], told.headers["retry-after"]) == (502, "unavailable", "1")
    assert nginx.calls("create-order").count("POST /v1/orders/vanish") == 1


def test_a_door_that_is_away_is_found_again_at_its_new_address(nginx: Gateway) -> None:
    assert nginx.ask("GET", "/v1/refunds").status == 200
    nginx.close("refund")
    try:
        away = nginx.ask("GET", "/v1/refunds")
        assert (away.status, away.body["code"]) == (502, "unavailable")
    finally:
        nginx.open("refund", "127.1.0.99")
    deadline = time.monotonic() + PATIENCE_S
    while (told := nginx.ask("GET", "/v1/refunds")).status != 200:
        assert time.monotonic() < deadline, told
        time.sleep(0.2)
    assert told.body["door"] == "refund"
