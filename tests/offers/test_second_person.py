"""Operators are customers of the rules too: nothing for themselves, and a second person above an amount."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from psycopg import errors

from shared_lib.cli.doctor import doctor
from tests.kit.answers import assert_problem
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, FILM, order_status, payments, provider_down, subscription, watchable

OPERATOR = ("billing:operator",)
BOTH = ("billing:customer", "billing:operator")


async def give_back(
    cinema: Cinema,
    order: dict[str, Any],
    *,
    by: str = "olga",
    scopes: tuple[str, ...] = OPERATOR,
    key: str | None = None,
    **more: Any,
) -> httpx.Response:
    body = {"order_id": order["id"], "reason": "kindness", **more}
    return await cinema.call("POST", "/v1/refunds", body, customer=by, scopes=scopes, key=key)


async def decide(
    cinema: Cinema, refund: dict[str, Any], verb: str = "approve", *, by: str = "oscar", **how: Any
) -> httpx.Response:
    body = {"reason": "not this one"} if verb == "reject" else None
    how.setdefault("scopes", OPERATOR)
    return await cinema.call("POST", f"/v1/refunds/{refund['id']}/{verb}", body, customer=by, **how)


def limit(cinema: Cinema, minor: int, currency: str = "EUR") -> None:
    cinema.rt.settings.operator_refund_max_minor[currency] = minor


@contextmanager
def nothing_is_decided(cinema: Cinema) -> Iterator[None]:
    """No refund moves inside. Webhooks about earlier ones may arrive at any time, so the inbox is not compared."""
    rows = "SELECT id, status, decided_by, decided_at, failure_reason, fence FROM refunds ORDER BY id"
    before = cinema.rows(rows), reserved(cinema)
    yield
    assert (cinema.rows(rows), reserved(cinema)) == before


def reserved(cinema: Cinema) -> list[Any]:
    return payments(cinema, "refund_reserved_minor, refunded_minor")


# ---- nothing for themselves --------------------------------------------------------------------------------


async def test_an_operator_gives_nothing_back_to_themselves(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    await cinema.drain()
    with nothing_is_decided(cinema):
        for more in ({}, {"access": "keep"}, {"amount_minor": 1}):
            assert_problem(await give_back(cinema, order, by="ann", **more), "refund_own_order")


async def test_with_both_scopes_the_rules_of_customers_hold_for_ones_own_order(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    await cinema.drain()
    with nothing_is_decided(cinema):
        for more in ({"access": "keep"}, {"amount_minor": 1299}):
            answer = await give_back(cinema, order, by="ann", scopes=BOTH, **more)
            assert_problem(answer, "refund_amount_forbidden")
    played = {"customer_id": "ann", "product_id": "prd_metropolis", "started_at": cinema.now().isoformat()}
    assert (await cinema.event("cinema.playback.started", played)).status_code == 200
    assert_problem(await give_back(cinema, order, by="ann", scopes=BOTH), "refund_started")
    unseen = await cinema.bought("prc_stalker_buy")
    assert (await give_back(cinema, unseen, by="ann", scopes=BOTH)).status_code == 201
    assert await watchable(cinema) == ["prd_metropolis"]


async def test_with_both_scopes_another_customers_order_is_given_back_as_by_any_operator(
    cinema: Cinema,
) -> None:
    order = await cinema.bought(FILM)
    answer = await give_back(cinema, order, by="olga", scopes=BOTH, amount_minor=100, access="keep")
    assert (answer.status_code, answer.json()["amount"]["minor"]) == (201, 100)


# ---- a second person ---------------------------------------------------------------------------------------


async def test_without_a_limit_one_person_is_enough(cinema: Cinema) -> None:
    order = await cinema.bought(FILM)
    assert (await give_back(cinema, order)).status_code == 201


async def test_above_the_limit_the_money_is_reserved_and_waits_for_a_second_operator(cinema: Cinema) -> None:
    limit(cinema, 1000)
    order = await cinema.bought(FILM)
    answer = await give_back(cinema, order, key="big")
    assert answer.status_code == 202
    waiting = answer.json()
    assert (waiting["status"], answer.headers["location"]) == (
        "awaiting_approval",
        f"/v1/refunds/{waiting['id']}",
    )
    assert reserved(cinema) == [(1299, 0)]
    again = await give_back(cinema, order, key="big")
    assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")
    assert_problem(await give_back(cinema, order, by="oscar"), "refund_too_much")
    for _ in range(2):
        await cinema.tick()  # nothing that works in the background sends it
    assert (await cinema.get(f"/v1/refunds/{waiting['id']}"))["status"] == "awaiting_approval"
    assert (await cinema.books())["currencies"]["EUR"]["refunded_minor"] == 0
    assert await watchable(cinema) == ["prd_metropolis"]

    with nothing_is_decided(cinema):
        assert_problem(await decide(cinema, waiting, by="olga"), "refund_same_person")
        assert_problem(await decide(cinema, waiting, by="ann"), "refund_own_order")
    approved = await decide(cinema, waiting)
    assert (approved.status_code, approved.json()["status"]) == (200, "succeeded")
    assert (reserved(cinema), order_status(cinema, order["id"])) == ([(1299, 1299)], "refunded")
    assert await watchable(cinema) == []
    assert cinema.rows("SELECT requested_by, decided_by FROM refunds") == [("olga", "oscar")]

    with nothing_is_decided(cinema):
        repeated = await decide(cinema, waiting)
        assert (repeated.status_code, repeated.json()) == (200, approved.json())
        assert_problem(await decide(cinema, waiting, by="otto"), "refund_not_awaiting")
        assert_problem(await decide(cinema, waiting, "reject"), "refund_not_awaiting")
    told = [
        row[0]
        for row in cinema.rows("SELECT type FROM outbox WHERE type LIKE 'billing.refund.%%' ORDER BY id")
    ]
    assert told == ["billing.refund.approved", "billing.refund.succeeded"]


async def test_at_the_limit_one_person_is_enough_and_another_currency_has_its_own(cinema: Cinema) -> None:
    limit(cinema, 1299)
    limit(cinema, 1, "USD")
    assert (await give_back(cinema, await cinema.bought(FILM))).status_code == 201


async def test_an_amount_is_not_split_to_stay_below_the_limit(cinema: Cinema) -> None:
    limit(cinema, 500)
    order = await cinema.bought(FILM)
    first = await give_back(cinema, order, amount_minor=400, access="keep")
    second = await give_back(cinema, order, by="oscar", amount_minor=400, access="keep")
    assert (first.status_code, second.status_code) == (201, 202)
    assert second.json()["status"] == "awaiting_approval"


async def test_a_rejected_refund_frees_the_money_and_sends_nothing(cinema: Cinema) -> None:
    limit(cinema, 0)
    order = await cinema.bought(FILM)
    waiting = (await give_back(cinema, order)).json()
    rejected = await decide(cinema, waiting, "reject")
    assert rejected.status_code == 200
    assert (rejected.json()["status"], rejected.json()["failure_reason"]) == ("rejected", "not this one")
    assert (reserved(cinema), order_status(cinema, order["id"])) == ([(0, 0)], "paid")
    with nothing_is_decided(cinema):
        assert (await decide(cinema, waiting, "reject")).json() == rejected.json()
        assert_problem(await decide(cinema, waiting), "refund_not_awaiting")
    assert (await give_back(cinema, order, by="ann", scopes=("billing:customer",))).status_code == 201


async def test_the_first_operator_may_take_their_own_wish_back(cinema: Cinema) -> None:
    limit(cinema, 0)
    waiting = (await give_back(cinema, await cinema.bought(FILM))).json()
    assert (await decide(cinema, waiting, "reject", by="olga")).json()["status"] == "rejected"


async def test_a_customer_needs_no_second_person(cinema: Cinema) -> None:
    limit(cinema, 0)
    order = await cinema.bought(FILM)
    assert (await give_back(cinema, order, by="ann", scopes=("billing:customer",))).status_code == 201


async def test_only_operators_decide(cinema: Cinema) -> None:
    limit(cinema, 0)
    waiting = (await give_back(cinema, await cinema.bought(FILM))).json()
    with nothing_is_decided(cinema):
        for verb in ("approve", "reject"):
            for who in ("ann", "bob"):
                answer = await decide(cinema, waiting, verb, by=who, scopes=("billing:customer",))
                assert_problem(answer, "scope_missing")
            unknown = {"id": waiting["id"][:-6] + "ZZZZZZ"}
            assert_problem(await decide(cinema, unknown, verb), "not_found")
            assert_problem(
                await cinema.call(
                    "GET", f"/v1/refunds/{waiting['id']}/{verb}", customer="oscar", scopes=OPERATOR
                ),
                "method_not_allowed",
            )
        nothing = await cinema.call(
            "POST", f"/v1/refunds/{waiting['id']}/reject", {"reason": ""}, customer="oscar", scopes=OPERATOR
        )
        assert_problem(nothing, "body_invalid")


async def test_what_needed_no_approval_cannot_be_approved_or_rejected(cinema: Cinema) -> None:
    done = (await give_back(cinema, await cinema.bought(FILM))).json()
    with nothing_is_decided(cinema):
        for verb in ("approve", "reject"):
            assert_problem(await decide(cinema, done, verb), "refund_not_awaiting")


async def test_twenty_decisions_at_once_are_one(cinema: Cinema) -> None:
    limit(cinema, 0)
    order = await cinema.bought(FILM)
    waiting = (await give_back(cinema, order)).json()
    answers = await asyncio.gather(
        *(decide(cinema, waiting, ("approve", "reject")[n % 2], by=f"operator-{n}") for n in range(20))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
    refunded = (await cinema.books())["currencies"]["EUR"]["refunded_minor"]
    assert reserved(cinema) == [(refunded, refunded)]


async def test_an_approval_that_the_provider_does_not_answer_is_finished_later(cinema: Cinema) -> None:
    limit(cinema, 0)
    waiting = (await give_back(cinema, await cinema.bought(FILM))).json()
    await provider_down(cinema)
    assert (await decide(cinema, waiting)).json()["status"] in ("requested", "unknown")
    await provider_down(cinema, down=False)
    for _ in range(3):
        await cinema.advance(timedelta(minutes=2))
        await cinema.tick()
    assert (await cinema.get(f"/v1/refunds/{waiting['id']}"))["status"] == "succeeded"


async def test_a_period_that_waits_to_be_returned_goes_on_until_it_is(cinema: Cinema) -> None:
    limit(cinema, 0)
    waiting = (await give_back(cinema, await cinema.bought(BASIC))).json()
    assert (await subscription(cinema))["status"] == "active"
    await decide(cinema, waiting)
    assert (await subscription(cinema))["status"] == "canceled"


async def test_the_database_itself_knows_two_people(cinema: Cinema) -> None:
    limit(cinema, 0)
    await give_back(cinema, await cinema.bought(FILM))
    with pytest.raises(errors.CheckViolation, match="refunds_approved_by_another"):
        cinema.rows("UPDATE refunds SET status = 'requested', decided_by = 'olga' RETURNING id")


async def test_doctor_names_what_waits(cinema: Cinema, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = cinema.rt.settings
    for name, value in {
        "DATABASE_URL": cinema.database_url,
        "SANDBOX_URL": settings.sandbox_url,
        "SANDBOX_API_KEY": settings.sandbox_api_key.get_secret_value(),
        "SANDBOX_WEBHOOK_SECRETS": settings.sandbox_webhook_secrets[0].get_secret_value(),
        "AUTH_JWKS_URL": settings.auth_jwks_url,
        "AUTH_ISSUER": settings.auth_issuer,
        "ENVIRONMENT": "test",
    }.items():
        monkeypatch.setenv(f"BOXOFFICE_{name}", value)
    limit(cinema, 0)
    waiting = (await give_back(cinema, await cinema.bought(FILM))).json()
    says = (await asyncio.to_thread(doctor)).text
    assert f"refund approvals: {waiting['id']} (12.99 EUR)" in says, says


async def test_a_job_about_a_refund_that_waits_or_was_rejected_sends_nothing(cinema: Cinema) -> None:
    limit(cinema, 0)
    waiting = (await give_back(cinema, await cinema.bought(FILM))).json()
    for verb in ("", "reject"):
        if verb:
            await decide(cinema, waiting, verb)
        with nothing_is_decided(cinema):
            job = {"refund_id": waiting["id"]}
            assert (await cinema.event("billing.job.start_refund", job)).status_code == 200
    assert (await cinema.books())["currencies"]["EUR"]["refunded_minor"] == 0
