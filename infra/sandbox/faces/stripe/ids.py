"""Ids on the wire. One payment of the engine is a session, an intent and a charge here; all carry its digits."""

from __future__ import annotations

from typing import Final

FACE: Final = "stripe"
SESSION, INTENT, SETUP, CHARGE = "cs_test_", "pi_", "seti_", "ch_"
REFUND, METHOD, CUSTOMER, TRANSACTION = "re_", "pm_", "cus_", "txn_"
_ENGINE: Final = {
    SESSION: "sp_", INTENT: "sp_", SETUP: "sp_", CHARGE: "sp_", REFUND: "sr_", METHOD: "sm_", CUSTOMER: "sc_",
}  # fmt: skip


def shown(prefix: str, engine_id: str) -> str:
    """`sp_12ab` as `pi_12ab`."""
    return prefix + engine_id.partition("_")[2]


def engine(prefix: str, id_: str) -> str:
    """The engine's id of one on the wire; of anything else an id that the engine does not have."""
    return _ENGINE[prefix] + id_.removeprefix(prefix) if id_.startswith(prefix) else f"not {prefix}"
