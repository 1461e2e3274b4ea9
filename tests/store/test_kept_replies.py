"""A reply is kept in few bytes and comes back as it was."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.billing.replies import SavedReply
from shared_lib.store import kept_replies
from shared_lib.store.kept_replies import packed, unpacked
from tests.kit.cinema import Cinema
from tests.kit.steps import BASIC, FILM, OPERATOR, RENTAL


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=5000),
    location=st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
)
def test_any_reply_comes_back_as_it_was(status: int, body: bytes, location: str | None) -> None:
    reply = SavedReply(status, body, location)
    assert unpacked(packed(reply)) == reply


def test_a_reply_that_was_written_with_an_older_dictionary_stays_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reply = SavedReply(201, b'{"id":"ord_1","status":"pending"}', "/v1/orders/ord_1")
    kept = packed(reply)
    newer = b'"status":"pending","id":"ord_'
    monkeypatch.setattr(kept_replies, "_PRIMED", zlib.compressobj(zdict=newer))
    monkeypatch.setitem(kept_replies._BY_ID, zlib.adler32(newer), newer)
    assert packed(reply)[2:6] != kept[2:6]
    assert unpacked(packed(reply)) == unpacked(kept) == reply


def test_a_damaged_reply_is_an_error_and_no_other_reply() -> None:
    kept = bytearray(packed(SavedReply(201, b"{}", None)))
    kept[-1] ^= 1
    with pytest.raises(zlib.error):
        unpacked(bytes(kept))


async def test_replies_of_orders_and_refunds_take_less_than_half_of_their_bytes(cinema: Cinema) -> None:
    await cinema.order(FILM)
    await cinema.order(RENTAL, customer="bob")
    await cinema.order(BASIC, customer="cem")
    paid = await cinema.bought(FILM, customer="dan")
    refund = {"order_id": paid["id"], "reason": "It stopped in the middle"}
    assert (await cinema.call("POST", "/v1/refunds", refund, scopes=OPERATOR)).status_code < 300
    kept = cinema.rows("SELECT reply FROM idempotency_keys")
    assert len(kept) == 5
    for (bytes_,) in kept:
        reply = unpacked(bytes_)
        assert reply.location
        assert len(bytes_) < (len(reply.body) + len(reply.location)) / 2


async def test_a_reply_from_before_migration_0013_is_repeated(cinema: Cinema) -> None:
    first = await cinema.call("POST", "/v1/orders", _FILM, key="one")
    with cinema.db() as db:
        db.execute(
            "UPDATE idempotency_keys SET reply = NULL, reply_status = 201, reply_body = %s, reply_location = %s",
            [first.content, first.headers["location"]],
        )
    again = await cinema.call("POST", "/v1/orders", _FILM, key="one")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"


_FILM = {"price_id": FILM, "return_url": "http://cinema.test/thanks"}
