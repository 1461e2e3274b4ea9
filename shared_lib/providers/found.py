"""What a search by our id comes to when a provider has several payments with it."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.domain.values import replace
from shared_lib.providers.base import PaymentSnapshot, PaymentState

_MAY_SUCCEED = (PaymentState.PENDING, PaymentState.ACTION_REQUIRED, PaymentState.APPROVED)


def foremost(found: Sequence[PaymentSnapshot]) -> PaymentSnapshot | None:
    """The payment that took money, else one that still may, else the newest; the rest are its `others`.

    `found` is in the provider's order, the newest first. An idempotency key makes a second payment unlikely, not impossible.
    """
    if not found:
        return None
    first = max(found, key=_weight)
    return replace(first, others=tuple(another for another in found if another is not first))


def _weight(found: PaymentSnapshot) -> int:
    return 2 if found.state is PaymentState.SUCCEEDED else int(found.state in _MAY_SUCCEED)
