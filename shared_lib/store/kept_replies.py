"""A reply as it is kept with its idempotency key: status, location and body in a quarter of their bytes.

Two replies differ in ids, instants and a title. zlib is given the rest beforehand, as a dictionary: what stands there is not stored
again with each key. A kept reply names its dictionary (RFC 1950, DICTID), so one that was written with an older dictionary stays
readable as long as that stands in DICTIONARIES.
"""

from __future__ import annotations

import zlib
from typing import Final

from shared_lib.billing.replies import SavedReply

# The most frequent text comes last: zlib finds what is near for fewer bytes. Never edit one of these: keys of the last 72 hours need it.
# Put a new one in front when replies have changed so much that test_kept_replies.py asks for it.
DICTIONARIES: Final = (
    (
        b'402\n/v1/orders/ord_\n{"type":"urn:boxoffice:problem:payment_declined","title":"Payment declined","status":402,"detail":"The payment'
        b' method was declined. Try another one.","code":"payment_declined","order_id":"ord_01","decline_reason":"Nothing was charged; the'
        b' order is canceled."}202\n/v1/refunds/ref_01201\n/v1/refunds/ref_01\n{"id":"ref_01","order_id":"ord_01","status":"requested","amount":'
        b'{"minor":1299,"currency":"EUR"},"reason":"","access":"keep","failure_reason":null,"created_at":"2026-"}"end_now""succeeded""sending"'
        b'"rental""purchase""subscription_create""subscription","period":{"n":1,"start":"2026-","end":"2026-"},"subscription_id":"sub_01'
        b'"status":"canceled""status":"paid""refunded":{"minor":0,"currency":"USD"},"checkout_url":null,"provider":"stripe","decline_reason":"'
        b'202\n/v1/orders/ord_01201\n/v1/orders/ord_01\n{"id":"ord_01","status":"pending","billing_reason":"purchase","kind":"purchase","product":'
        b'{"id":"prd_","title":""},"price_id":"prc_","amount":{"minor":1299,"currency":"EUR"},"refunded":{"minor":0,"currency":"EUR"},'
        b'"checkout_url":"https://checkout.","payment":{"id":"pay_01","status":"pending","provider":"sandbox","decline_reason":null},'
        b'"subscription_id":null,"period":null,"created_at":"2026-01-01T00:00:00.000000Z","expires_at":"2026-01-02T00:00:00.000000Z",'
        b'"paid_at":null,"cancel_reason":null}'
    ),
)
_BY_ID: Final = {zlib.adler32(words): words for words in DICTIONARIES}
# 4 KB of window and small tables: a reply is short, and a compressor with its dictionary is copied for each. Level 3: a higher
# one searches longer and finds nothing more.
_PRIMED: Final = zlib.compressobj(3, zlib.DEFLATED, 12, 5, zlib.Z_DEFAULT_STRATEGY, DICTIONARIES[0])


def packed(reply: SavedReply) -> bytes:
    """The reply as a zlib stream; `unpacked` returns an equal one."""
    compressor = _PRIMED.copy()
    head = f"{reply.status}\n{reply.location or ''}\n".encode()
    return compressor.compress(head + reply.body) + compressor.flush()


def unpacked(kept: bytes) -> SavedReply:
    """Raises zlib.error (a damaged one) or KeyError (its dictionary is gone)."""
    stream = zlib.decompressobj(zdict=_BY_ID[int.from_bytes(kept[2:6], "big")])
    status, location, body = (stream.decompress(kept) + stream.flush()).split(b"\n", 2)
    return SavedReply(int(status), body, location.decode() or None)
