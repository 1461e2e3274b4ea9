"""Keys of one batch: each request is compared with what is kept under its key, not with its neighbours."""

from __future__ import annotations

from shared_lib.billing.replies import Key, SavedReply
from shared_lib.domain.errors import Code, Refusal
from shared_lib.store.keys import FRESH, Resume, claim_keys, look_at_keys, save_replies
from shared_lib.store.transaction import transaction
from tests.phases.runner import PhaseRunner

RIGHT, WRONG = (Key("ann", "POST /v1/orders", "k", digest * 32) for digest in (b"r", b"w"))
ANSWER = SavedReply(201, b"{}", None)


def codes(states: list[object]) -> list[object]:
    return [state.code if isinstance(state, Refusal) else state for state in states]


async def test_a_request_is_not_judged_by_its_neighbor_in_the_batch(phases: PhaseRunner) -> None:
    async with transaction(phases._connection) as tx:
        assert await claim_keys(tx, [(RIGHT, "ord_1")]) == [FRESH]
    both = [(WRONG, "ord_2"), (RIGHT, "ord_3")]
    async with transaction(phases._connection) as tx:
        assert codes([*await claim_keys(tx, both)]) == [Code.KEY_REUSED, Code.KEY_IN_FLIGHT]
    async with transaction(phases._connection) as tx:
        save_replies(tx, [(RIGHT, ANSWER)])
    for wanted in (both, both[::-1]):
        async with transaction(phases._connection) as tx:
            states = await claim_keys(tx, wanted)
        assert {key.fingerprint: state for (key, _), state in zip(wanted, codes([*states]), strict=True)} == {
            RIGHT.fingerprint: ANSWER,
            WRONG.fingerprint: Code.KEY_REUSED,
        }
        async with transaction(phases._connection) as tx:
            looked = await look_at_keys(tx, [key for key, _ in wanted])
        assert looked == states


async def test_an_owner_that_died_is_followed_by_one_request_with_the_same_fingerprint(
    phases: PhaseRunner,
) -> None:
    async with transaction(phases._connection) as tx:
        await claim_keys(tx, [(RIGHT, "ord_1")])
    async with transaction(phases._connection) as tx:
        tx.later("UPDATE idempotency_keys SET locked_until = boxoffice_now()", [])
    async with transaction(phases._connection) as tx:
        states = await claim_keys(tx, [(WRONG, "ord_2"), (RIGHT, "ord_3"), (RIGHT, "ord_4")])
    assert codes([*states]) == [Code.KEY_REUSED, Resume("ord_1"), Code.KEY_IN_FLIGHT]
