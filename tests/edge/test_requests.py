"""What each call leaves behind - who asked, under which id - and HEAD, which asks for everything but the body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from shared_lib import log as logs
from tests.kit.answers import assert_problem, order_body
from tests.kit.cinema import Cinema

OPERATOR = ("billing:operator",)


class Lines:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    def of(self, event: str) -> list[dict[str, Any]]:
        written = self._capsys.readouterr()
        self._text += written.out + written.err
        lines = [json.loads(line) for line in self._text.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    before = structlog.get_config()
    logs.configure(function="edge", pretty=False)
    structlog.configure(cache_logger_on_first_use=False, logger_factory=structlog.PrintLoggerFactory())
    yield Lines(capsys)
    structlog.configure(**before)


async def test_each_line_names_who_asked_and_under_which_id(cinema: Cinema, lines: Lines) -> None:
    token = cinema.token("ann", "billing:customer", "profile", more={"client_id": "tv-app"})
    headers = {"authorization": f"Bearer {token}", "x-request-id": "call-0001_x"}
    answer = await cinema.call("GET", "/v1/orders", customer=None, headers=headers)
    assert answer.headers["x-request-id"] == "call-0001_x"
    (line,) = lines.of("request")
    told = {
        name: line[name] for name in ("actor", "client", "scope", "request_id", "method", "path", "status")
    }
    assert told == {
        "actor": "ann", "client": "tv-app", "scope": "billing:customer profile", "request_id": "call-0001_x",
        "method": "GET", "path": "/v1/orders", "status": 200,
    }  # fmt: skip


async def test_an_id_that_is_none_is_replaced_and_stands_in_the_problem_too(
    cinema: Cinema, lines: Lines
) -> None:
    for given in ("", "short", "x" * 65, "a b c d e f", "abc\xff1234", '"} {"event":"x'):
        headers = {b"x-request-id": given.encode("latin-1")}
        answer = await cinema.http.get(f"{cinema.url}/v1/orders", headers=headers)
        body = assert_problem(answer, "token_missing")
        assert re.fullmatch(r"[0-9a-f]{32}", body["request_id"])
        assert answer.headers["x-request-id"] == body["request_id"]
        assert lines.of("request")[-1]["request_id"] == body["request_id"]
    assert len({line["request_id"] for line in lines.of("request")}) == 6


async def test_what_an_operator_reads_leaves_a_trace_and_what_a_customer_reads_does_not(
    cinema: Cinema, lines: Lines
) -> None:
    order = await cinema.bought("prc_basic_month")
    subscription = (await cinema.get("/v1/subscriptions"))["items"][0]
    await cinema.get(f"/v1/orders/{order['id']}")
    assert lines.of("operator_read") == []
    for path in (
        f"/v1/orders/{order['id']}",
        f"/v1/subscriptions/{subscription['id']}",
        "/v1/orders/ord_none",
    ):
        await cinema.call("GET", path, customer="olga", scopes=OPERATOR)
    found = [(line["actor"], line["object"], line["belongs_to"]) for line in lines.of("operator_read")]
    assert found == [
        ("olga", order["id"], "ann"),
        ("olga", subscription["id"], "ann"),
        ("olga", "ord_none", None),
    ]
    assert all(line["request_id"] for line in lines.of("operator_read"))


async def test_head_answers_as_get_does_without_the_body(cinema: Cinema, lines: Lines) -> None:
    order = (await cinema.call("POST", "/v1/orders", order_body())).json()
    for path in ("/v1/orders", f"/v1/orders/{order['id']}", "/v1/catalog", "/v1/subscriptions", "/v1/entitlements",
                 "/v1/payment-methods", "/v1/orders/ord_none", "/v1/orders?limit=x", "/v1/refunds/ref_none"):  # fmt: skip
        got, head = await cinema.call("GET", path), await cinema.call("HEAD", path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        changing = {"date", "x-request-id", "content-length"}
        assert {n: v for n, v in head.headers.items() if n not in changing} == {
            n: v for n, v in got.headers.items() if n not in changing
        }
        assert head.headers["content-length"] == got.headers["content-length"]
        assert lines.of("request")[-1]["method"] == "HEAD"
    for path in ("/v1/orders/x/cancel", "/v1/webhooks/sandbox"):
        assert (await cinema.call("HEAD", path)).status_code == 405
