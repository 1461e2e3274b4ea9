"""NGINX's table is the gateway's, and NGINX's own problems look like the doors'."""

from __future__ import annotations

import json
import re
from itertools import product

from infra.nginx.doors import FILE, service, table
from shared_lib.contract.problems import GATEWAY_PROBLEMS, PROBLEMS, UNAVAILABLE_AT
from shared_lib.contract.routes import door_of
from shared_lib.domain.errors import Code

NGINX = FILE.with_name("nginx.conf").read_text()
METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")
PLACES = (
    "webhooks",
    "orders",
    "refunds",
    "subscriptions",
    "entitlements",
    "payment-methods",
    "catalog",
    "events",
    "o",
    "ordersx",
)
RESTS = ("", "/", "/ord_1", "/ord_1/cancel", "/ord_1/")


def test_every_plain_call_goes_where_the_local_gateway_sends_it() -> None:
    lines = re.findall(r'^    "~(.+)" (\S+);$', table(), re.MULTILINE)

    def led(method: str, uri: str) -> str | None:
        return next((door for pattern, door in lines if re.search(pattern, f"{method} {uri}")), None)

    for method, place, rest, query in product(METHODS, PLACES, RESTS, ("", "?wait=2")):
        door = door_of(method, f"/v1/{place}{rest}")
        assert led(method, f"/v1/{place}{rest}{query}") == (door and service(door)), (method, place, rest)
    assert (
        led("POST", "/v1/orders/%2e%2e/events") is led("POST", "/v1/orders//x") is led("POST", "/v1") is None
    )


def test_what_nginx_says_itself_has_the_form_of_the_doors() -> None:
    said = re.findall(r"return (\d+) '(\{\"type.*?\})';", NGINX)
    assert {int(status) for status, _ in said} == {
        400,
        404,
        405,
        408,
        411,
        413,
        414,
        429,
        431,
        500,
        502,
        503,
        504,
    }
    for status, text in said:
        problem = json.loads(text)
        assert problem["status"] == int(status)
        assert problem["type"] == f"urn:boxoffice:problem:{problem['code']}"
        assert problem.keys() == {"type", "title", "status", "detail", "code", "request_id"}
        if own := GATEWAY_PROBLEMS.get(problem["code"]):
            assert (problem["title"], problem["status"]) == (own.title, own.status)
        else:
            assert problem["title"] == PROBLEMS[Code(problem["code"])].title
    codes = [(json.loads(text)["code"], int(status)) for status, text in said]
    assert {code for code, _ in codes} - {*PROBLEMS} == {*GATEWAY_PROBLEMS}
    assert {status for code, status in codes if code == "unavailable"} == {*UNAVAILABLE_AT}


def test_each_error_page_has_a_place_and_each_place_an_error() -> None:
    pages = set(re.findall(r"error_page [\d ]+(@\w+);", NGINX))
    assert pages == set(re.findall(r"location (@\w+) ", NGINX))


def test_a_call_is_never_repeated_and_a_long_poll_passes() -> None:
    assert "proxy_next_upstream off;" in NGINX
    assert int(re.findall(r"proxy_read_timeout (\d+)s;", NGINX)[0]) > 25
    assert "client_max_body_size 64k;" in NGINX
