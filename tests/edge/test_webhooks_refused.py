"""POST /v1/webhooks/{provider}: only what the provider signed is believed; what we do not know yet is kept."""

from __future__ import annotations

import json
from datetime import timedelta

from infra.sandbox.faces.native.events import sign
from tests.kit.answers import alter, assert_problem, nothing_changes
from tests.kit.cinema import Cinema
from tests.kit.webhooks import PATH, deliver, paid


async def test_only_fresh_bytes_with_the_right_signature_are_believed(
    cinema: Cinema, webhook_secret: str
) -> None:
    order = await cinema.order("prc_metropolis_buy")
    body = json.dumps(paid(order["payment"]["id"], order["id"])).encode()
    stranger = "whsec_" + "QUFB" * 8
    good = sign(webhook_secret, "msg_1", 1, body)
    with nothing_changes(cinema):
        answers = {
            "another secret": await deliver(cinema, body, stranger),
            "no signature": await deliver(cinema, body, webhook_secret, headers={"webhook-signature": ""}),
            "another scheme": await deliver(
                cinema, body, webhook_secret, headers={"webhook-signature": good.replace("v1,", "v1a,")}
            ),
            "rubbish": await deliver(
                cinema, body, webhook_secret, headers={"webhook-signature": "v1,\u00bf"}
            ),
            "another id": await deliver(cinema, body, webhook_secret, headers={"webhook-id": "msg_2"}),
            "no id": await deliver(cinema, body, webhook_secret, headers={"webhook-id": ""}),
            "too old": await deliver(cinema, body, webhook_secret, off=-timedelta(seconds=302)),
            "from the future": await deliver(cinema, body, webhook_secret, off=timedelta(seconds=302)),
            "no time": await deliver(cinema, body, webhook_secret, headers={"webhook-timestamp": ""}),
            "a time that is none": await deliver(
                cinema, body, webhook_secret, headers={"webhook-timestamp": "1e9"}
            ),
            "the end of time": await deliver(
                cinema, body, webhook_secret, headers={"webhook-timestamp": "9" * 12}
            ),
            "tampered with": await deliver(
                cinema, body.replace(b"1299", b"9999"), webhook_secret, signed=body
            ),
            "nothing at all": await cinema.http.post(cinema.url + PATH, content=body),
            "a customer's token": await cinema.call("POST", PATH, body),
        }
        for what, answer in answers.items():
            assert answer.status_code == 400, f"{what}: {answer.status_code} {answer.text}"
            assert (
                assert_problem(answer, "signature_invalid")["detail"]
                == "The signature of the webhook is not valid."
            )


async def test_a_webhook_within_the_tolerance_settles_once(cinema: Cinema, webhook_secret: str) -> None:
    order = await cinema.order("prc_metropolis_buy")
    ref = cinema.value("SELECT provider_ref FROM payments")
    body = json.dumps(paid(order["payment"]["id"], order["id"], id=ref)).encode()
    for off in (-290, 290, 0):
        answer = await deliver(cinema, body, webhook_secret, off=timedelta(seconds=off))
        assert (answer.status_code, answer.content) == (200, b"")
    assert (await cinema.get(f"/v1/orders/{order['id']}"))["status"] == "paid"
    assert cinema.value("SELECT count(*) FROM ledger_entries") == 1


UNREADABLE = [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}", b'{"type": 7}', b'{"type": "payment.succeeded"}',
     b'{"type": "payment.succeeded", "data": []}', b"[" * 10_000,
    b'{"type": "payment.succeeded", "type": "payment.declined", "data": {}}',
    *(json.dumps(paid() | {"data": paid()["data"] | wrong}).encode() for wrong in (
        {"amount_minor": "12"}, {"amount_minor": 12.5}, {"currency": "euro"}, {"id": None}, {"id": ""},
        {"captured_minor": -5}, {"metadata": {"payment_id": 7}}, {"created_at": "yesterday"},
        {"id": "sp_\0"}, {"id": "\ud800"}, {"metadata": {"payment_id": "pay_\0"}}, {"id": "x" * 2000}, {"note": "\0"},
        {"amount_minor": 2**63}, {"minor": float("nan")}, {"minor": float("inf")}, {"created_at": "9999-12-31T23:59:59-14:00"},
        {"metadata": {"\0": "a"}}, {"description": ["\udfff"]},
    )),
]  # fmt: skip


async def test_a_signed_body_that_cannot_be_read_is_refused(cinema: Cinema, webhook_secret: str) -> None:
    with nothing_changes(cinema):
        for body in UNREADABLE:
            answer = await deliver(cinema, body, webhook_secret)
            assert answer.status_code == 422, f"{body[:80]!r}: {answer.status_code} {answer.text}"
            assert_problem(answer, "webhook_unreadable")


async def test_a_topic_we_do_not_know_is_acknowledged(cinema: Cinema, webhook_secret: str) -> None:
    body = json.dumps({"type": "weather.changed", "timestamp": "2030-01-01T00:00:00Z", "data": {"id": "w"}})
    assert (await deliver(cinema, body.encode(), webhook_secret)).status_code == 200
    assert cinema.rows("SELECT status FROM inbox") == [("done",)]


async def test_another_amount_than_was_asked_for_is_asked_about_before_it_is_believed(
    cinema: Cinema, webhook_secret: str
) -> None:
    order = await cinema.order("prc_metropolis_buy")
    ref = cinema.value("SELECT provider_ref FROM payments")
    body = json.dumps(paid(order["payment"]["id"], order["id"], minor=1, id=ref)).encode()
    answer = await deliver(cinema, body, webhook_secret)
    assert answer.status_code == 200
    assert (await cinema.get(f"/v1/orders/{order['id']}"))["status"] == "pending"
    assert cinema.value("SELECT count(*) FROM ledger_entries") == 0
    assert cinema.rows("SELECT status FROM inbox") == [("done",)]  # the provider was asked: nothing is paid


async def test_a_provider_that_is_not_ours_has_no_address(cinema: Cinema, webhook_secret: str) -> None:
    body = json.dumps(paid()).encode()
    with nothing_changes(cinema):
        for path in ("/stripe", "", "/", "/sandbox/more", "/Sandbox", "/%00"):
            answer = await deliver(cinema, body, webhook_secret, path=f"/v1/webhooks{path}")
            assert_problem(answer, "not_found")


async def test_a_webhook_about_a_payment_we_do_not_know_is_kept_and_applied_when_we_do(
    cinema: Cinema, webhook_secret: str
) -> None:
    order = await cinema.order("prc_metropolis_buy")
    # The webhook is faster than our own transaction: as if the payment were not there yet.
    await alter(cinema, "CREATE TABLE aside AS SELECT * FROM payments", "DELETE FROM payments")
    ref = f"sp_{order['payment']['id']}"
    body = json.dumps(paid(order["payment"]["id"], order["id"], id=ref)).encode()
    assert (await deliver(cinema, body, webhook_secret)).status_code == 200
    assert (await deliver(cinema, body, webhook_secret)).status_code == 200
    assert cinema.rows("SELECT status, attempts FROM inbox") == [("parked", 1)]
    await alter(
        cinema,
        f"UPDATE aside SET provider_ref = '{ref}'",
        "INSERT INTO payments SELECT * FROM aside",
        "DROP TABLE aside",
        "UPDATE inbox SET next_try_at = boxoffice_now()",
    )
    assert (await cinema.event("billing.tick.reconcile")).status_code == 200
    assert (await cinema.get(f"/v1/orders/{order['id']}"))["status"] == "paid"
    assert cinema.rows("SELECT status, payload FROM inbox") == [("done", None)]


async def test_a_webhook_that_stays_unknown_for_a_day_waits_for_a_human(
    cinema: Cinema, webhook_secret: str
) -> None:
    assert (await deliver(cinema, json.dumps(paid()).encode(), webhook_secret)).status_code == 200
    await cinema.advance(timedelta(hours=25))
    await cinema.tick()
    assert cinema.rows("SELECT status FROM inbox") == [("orphaned",)]
    assert cinema.value("SELECT payload->'payment'->>'payment_id' FROM inbox") == "pay_x"
