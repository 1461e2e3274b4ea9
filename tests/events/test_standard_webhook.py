"""Our verification against the scheme's own package: each accepts what the other signs."""

from __future__ import annotations

import os
from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from infra.sandbox.faces.native.events import sign
from shared_lib.standard_webhook import NotAuthentic, decoded_secret, verified_id

SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + b64encode(bytes(range(1, 33))).decode()
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEYS = [decoded_secret(SECRET)]


def headers_of(signature: str, at: datetime = NOW) -> dict[str, str]:
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


@given(body=st.text(), id_=st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=1))
def test_what_the_package_signs_we_accept(body: str, id_: str) -> None:
    headers = headers_of(Webhook(SECRET).sign(id_, NOW, body)) | {"webhook-id": id_}
    assert verified_id(headers, body.encode(), KEYS, NOW) == id_


@given(body=st.text(alphabet=st.characters(codec="ascii")))
def test_the_sandbox_signs_as_the_package_does(body: str) -> None:
    assert sign(SECRET, "evt_1", int(NOW.timestamp()), body.encode()) == Webhook(SECRET).sign(
        "evt_1", NOW, body
    )


def test_any_secret_of_a_rotation_and_any_signature_of_the_header_will_do() -> None:
    both = " ".join(Webhook(secret).sign("evt_1", NOW, "{}") for secret in (OTHER, SECRET))
    assert verified_id(headers_of(both), b"{}", KEYS, NOW) == "evt_1"
    only_old = headers_of(Webhook(SECRET).sign("evt_1", NOW, "{}"))
    assert verified_id(only_old, b"{}", [decoded_secret(OTHER), *KEYS], NOW) == "evt_1"
    with pytest.raises(NotAuthentic):
        verified_id(only_old, b"{}", [decoded_secret(OTHER)], NOW)


@pytest.mark.parametrize(("off_s", "good"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_the_tolerance_is_five_minutes_both_ways(off_s: int, *, good: bool) -> None:
    headers = headers_of(Webhook(SECRET).sign("evt_1", NOW, "{}"))
    received_at = NOW + timedelta(seconds=off_s)
    if good:
        assert verified_id(headers, b"{}", KEYS, received_at)
        return
    with pytest.raises(NotAuthentic, match="stale_timestamp"):
        verified_id(headers, b"{}", KEYS, received_at)


def test_bytes_that_are_no_text_are_verified_as_they_are() -> None:
    body = b'{"a":"\xff\x00"}'
    headers = headers_of(sign(SECRET, "evt_1", int(NOW.timestamp()), body))
    assert verified_id(headers, body, KEYS, NOW)
    with pytest.raises(NotAuthentic):
        verified_id(headers, body.replace(b"\xff", b"\xfe"), KEYS, NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + "A" * 400])
def test_a_bad_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes") as error:
        decoded_secret(secret)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(error.value)


def test_an_empty_list_of_secrets_accepts_nothing() -> None:
    with pytest.raises(NotAuthentic):
        verified_id(headers_of(Webhook(SECRET).sign("evt_1", NOW, "{}")), b"{}", [], NOW)


def test_the_package_rejects_what_we_would_reject() -> None:
    now = datetime.now(UTC)
    signed = headers_of(sign(SECRET, "evt_1", int(now.timestamp()), b"{}"), now)
    assert Webhook(SECRET).verify("{}", signed) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(os.urandom(4).hex(), signed)
