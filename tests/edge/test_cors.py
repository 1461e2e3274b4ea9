"""CORS: scripts of the frontend's origins may call and read replies; those of other origins may not."""

from __future__ import annotations

from tests.kit.answers import assert_problem, order_body
from tests.kit.cinema import Cinema

OURS, FOREIGN = "http://cinema.test", "http://evil.test"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key,traceparent",
}
PATHS = ("/v1/orders", "/v1/subscriptions/sub_1", "/v1/refunds", "/v1/payment-methods/pm_1", "/v1/catalog")


def words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


async def test_a_preflight_of_the_frontend_names_what_it_may_send(cinema: Cinema) -> None:
    for path in PATHS:
        answer = await cinema.http.options(cinema.url + path, headers={"origin": OURS, **PREFLIGHT})
        assert (answer.status_code, answer.content) == (204, b""), path
        assert answer.headers["access-control-allow-origin"] == OURS
        assert words(answer.headers["access-control-allow-methods"]) >= {"get", "post", "patch", "delete"}
        asked = words(PREFLIGHT["access-control-request-headers"])
        assert words(answer.headers["access-control-allow-headers"]) >= asked
        assert "origin" in words(answer.headers["vary"])
        assert "access-control-allow-credentials" not in answer.headers


async def test_a_preflight_of_another_origin_is_refused_as_any_other_method(cinema: Cinema) -> None:
    for origin in (
        FOREIGN,
        "null",
        "https://cinema.test",
        "http://cinema.test:81",
        "http://cinema.test.evil.test",
        "",
    ):
        answer = await cinema.http.options(f"{cinema.url}/v1/orders", headers={"origin": origin, **PREFLIGHT})
        assert_problem(answer, "method_not_allowed")
        assert not [name for name in answer.headers if name.startswith("access-control-")], origin


async def test_a_script_of_the_frontend_reads_replies_and_refusals(cinema: Cinema) -> None:
    created = await cinema.call("POST", "/v1/orders", order_body(), headers={"origin": OURS}, key="cors-1")
    again = await cinema.call("POST", "/v1/orders", order_body(), headers={"origin": OURS}, key="cors-1")
    refused = await cinema.call("GET", "/v1/orders", customer=None, headers={"origin": OURS})
    assert (created.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert_problem(refused, "token_missing")
    for answer in (created, again, refused):
        assert answer.headers["access-control-allow-origin"] == OURS
        shown = words(answer.headers["access-control-expose-headers"])
        assert shown >= {"location", "idempotent-replayed", "retry-after", "x-request-id"}
    assert created.content == again.content


async def test_replies_to_other_origins_and_to_programs_have_no_cors_headers(cinema: Cinema) -> None:
    for headers in ({"origin": FOREIGN}, {}):
        answer = await cinema.call("GET", "/v1/orders", headers=headers)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]
