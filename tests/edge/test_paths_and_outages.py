"""Paths that lead nowhere, and answers while something behind us is broken. Nothing of our insides is ever shown."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from infra.servers.postgres import EmbeddedPostgres
from shared_lib import log as logs
from shared_lib.contract.routes import ROUTES
from tests.kit.answers import alter, assert_problem, nothing_changes, order_body
from tests.kit.cinema import Cinema, impatient

BY_PATH: dict[str, set[str]] = {}
for _route in ROUTES:
    BY_PATH.setdefault(
        _route.path.replace("{provider}", "sandbox").replace("{", "").replace("}", ""), set()
    ).add(_route.method)


async def test_a_method_that_a_path_does_not_have_is_answered_with_those_it_has(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for path, methods in BY_PATH.items():
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - methods:
                answer = await cinema.call(method, path)
                assert answer.status_code == 405, f"{method} {path}: {answer.status_code} {answer.text}"
                assert_problem(answer, "method_not_allowed")
                allowed = methods | ({"HEAD"} if "GET" in methods else set())
                assert set(answer.headers["allow"].split(", ")) == allowed, f"{method} {path}"


async def test_a_path_that_leads_nowhere_is_not_found(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for path in ("/v1/orders/a/b", "/v1/orders/a/cancel/b", "/v1/refunds/a/b", "/v1/subscriptions/a/b",
                     "/v1/catalog/a", "/v1/payment-methods/a/b", "/v1/entitlements/a",
                     "/v1/orders/%00", "/v1/orders/a%0db", "/v1/orders/a%0ab", "/v1/refunds/%00", "/v1/orders/%ff%fe",
                     "/v1/orders/..%2f..%2fevents", "/v1/orders/" + "a" * 3000):  # fmt: skip
            assert_problem(await cinema.call("GET", path), "not_found")


async def test_an_address_has_an_end(cinema: Cinema) -> None:
    with nothing_changes(cinema):
        for method, path in (
            ("GET", "/v1/orders/" + "eyJ" * 5300),
            ("GET", "/v1/orders?after=" + "a" * 5000),
            ("GET", "/v1/catalog?" + "&" * 5000),
            ("GET", "/v1/refunds/" + "%41" * 1400),
            ("POST", "/v1/orders?" + "4242 " * 1000),
            ("POST", "/v1/webhooks/sandbox?" + "x" * 5000),
            ("PATCH", "/v1/subscriptions/" + "a" * 4090),
        ):
            assert_problem(await cinema.call(method, path, order_body(), customer=None), "url_too_long")
        longest = "/v1/orders?after=" + "a" * (4096 - len("/v1/orders?after="))
        assert (await cinema.call("GET", longest)).status_code == 200


async def test_a_query_that_does_not_fit_is_refused(cinema: Cinema) -> None:
    order = await cinema.order("prc_metropolis_buy")
    with nothing_changes(cinema):
        for query in ("limit=-1", "limit=101", "limit=x", "limit=1e3", "limit=", "limit=%D9%A1", "limit=" + "9" * 4000,
                      "after=%00", "after=a%0Ab", "after=%C3%A9"):  # fmt: skip
            assert_problem(await cinema.call("GET", f"/v1/orders?{query}"), "query_invalid")
        for query in ("wait=26", "wait=-1", "wait=forever", "wait=0.5", "wait=" + "1" * 4000):
            assert_problem(await cinema.call("GET", f"/v1/orders/{order['id']}?{query}"), "query_invalid")


async def test_a_bug_of_ours_is_a_problem_without_a_word_of_detail(cinema: Cinema) -> None:
    await alter(cinema, "ALTER TABLE payments RENAME TO lost")
    for method, path, body in (("POST", "/v1/orders", order_body()), ("GET", "/v1/orders", None)):
        assert_problem(await cinema.call(method, path, body), "internal")
    assert cinema.value("SELECT count(*) FROM orders") == 0
    assert cinema.value("SELECT count(*) FROM idempotency_keys") == 0
    await alter(cinema, "ALTER TABLE lost RENAME TO payments")
    assert (await cinema.call("POST", "/v1/orders", order_body())).status_code == 201


async def test_while_postgresql_is_down_every_call_may_be_tried_again_and_then_works(
    cinema_on_own_postgres: Cinema, own_postgres: EmbeddedPostgres
) -> None:
    cinema = impatient(cinema_on_own_postgres)
    assert (await cinema.call("POST", "/v1/orders", order_body(), key="before")).status_code == 201
    await asyncio.to_thread(own_postgres.stop)
    read, write, event = await asyncio.gather(
        cinema.call("GET", "/v1/orders/ord_x"),
        cinema.call("POST", "/v1/orders", order_body("prc_stalker_buy"), key="during"),
        cinema.event("billing.tick.reconcile"),
    )
    assert_problem(read, "unavailable")
    assert_problem(write, "unavailable")
    assert event.status_code == 503
    own_postgres.start()
    assert (
        await cinema.call("POST", "/v1/orders", order_body("prc_stalker_buy"), key="during")
    ).status_code == 201
    assert cinema.value("SELECT count(*) FROM orders") == 2


async def test_no_log_line_holds_a_token_a_secret_or_a_card(
    cinema: Cinema, webhook_secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = structlog.get_config()
    logs.configure(function="edge", pretty=False)
    structlog.configure(cache_logger_on_first_use=False, logger_factory=structlog.PrintLoggerFactory())
    token, card = cinema.token(), "4242 4242 4242 4242"
    try:
        order = await cinema.bought("prc_basic_month", number=card)
        bad = {"authorization": f"Bearer {token[:-8]}AAAAAAAA", "traceparent": token}
        answers = [
            await cinema.call("POST", "/v1/orders", order_body(), customer=None, headers=bad),
            await cinema.call("POST", "/v1/orders", order_body(card_number=card, token=token)),
            await cinema.call(
                "POST", "/v1/orders", order_body(return_url=f"http://cinema.test/?token={token}")
            ),
            await cinema.call("GET", f"/v1/orders/{card.replace(' ', '')}?access_token={token}"),
            await cinema.call("GET", f"/v1/orders/{token}"),
            await cinema.call("POST", "/v1/webhooks/sandbox", webhook_secret.encode()),
            await cinema.call("POST", "/v1/refunds", {"order_id": order["id"], "reason": f"card {card}"}),
        ]
        await alter(cinema, "ALTER TABLE payments RENAME TO lost")
        answers.append(
            await cinema.call("POST", "/v1/orders", order_body(return_url=f"http://cinema.test/{token}"))
        )
    finally:
        structlog.configure(**before)
    written = capsys.readouterr()
    lines = [line for line in (written.out + written.err).splitlines() if line.startswith("{")]
    assert {answer.status_code for answer in answers} == {201, 400, 401, 404, 422, 500}
    events = {json.loads(line)["event"] for line in lines}
    assert {"request", "event", "crashed", "phase_failed"} - {"event"} <= events
    for secret in (
        token,
        token.split(".")[2],
        card,
        card.replace(" ", ""),
        webhook_secret,
        cinema.sandbox.api_key,
    ):
        assert [line for line in lines if secret in line] == []
    shown = "".join(answer.text for answer in answers[:-2])
    assert token not in shown.replace(f"http://cinema.test/?token={token}", "")
