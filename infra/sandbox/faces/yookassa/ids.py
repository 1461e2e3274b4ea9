"""YooKassa's ids look like UUIDs. Ours have 24 hexadecimal digits, so each can be written as the other.

A saved method has the id of the payment that saved it.
"""

from __future__ import annotations

import re

from infra.sandbox.engine.refusals import Reason, Refused

FACE = "yookassa"
SHOP_ID = "100500"
SECRET_KEY_PREFIX = "test_"
"""The shop's secret key is this and the sandbox's API key: keys of test shops begin so."""

_SHOWN = re.compile(r"([0-9a-f]{8})-000f-5000-([0-9a-f]{4})-([0-9a-f]{12})")


def shown(engine_id: str) -> str:
    """As the merchant sees it."""
    digits = engine_id.partition("_")[2]
    return f"{digits[:8]}-000f-5000-{digits[8:12]}-{digits[12:]}"


def engine_id(prefix: str, shown_id: str) -> str:
    """As the engine knows it. Raises Refused for a text that is no id of ours."""
    found = _SHOWN.fullmatch(shown_id)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "There is no such object.")
    return f"{prefix}_{found[1]}{found[2]}{found[3]}"
