"""Refunds that the provider lists: those of ours are settled, the others adopted."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.adoption import FoundRefund, settle_found
from shared_lib.store.cases import Cases
from shared_lib.store.transaction import Transaction


async def adopt_refunds(tx: Transaction, found: Sequence[FoundRefund]) -> list[bool]:
    """Settle what a provider lists as refunds of our payments; True where it agrees with what we know now."""
    cases = await Cases.of_payments(tx, [one.payment_id for one in found])
    agreed: list[bool] = []
    for one in found:
        case = cases.of_payment(one.payment_id)
        if case is None:
            agreed.append(False)
            continue
        case, agrees = settle_found(case, case.payments[one.payment_id], one.outcome, asked=True)
        cases.keep(case)
        agreed.append(agrees)
    cases.write()
    return agreed
