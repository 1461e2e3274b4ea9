"""Free titles: delivered in the transaction that opens their order. Works on rows the caller has made."""

from __future__ import annotations

from shared_lib.domain.order import Place
from shared_lib.domain.payment import Payment
from shared_lib.phases.collecting import Collecting
from shared_lib.phases.desk import Desk
from shared_lib.phases.known import Known
from shared_lib.phases.methods import Methods
from shared_lib.phases.observations import Observed, Silence
from shared_lib.phases.trials import Trials


def give(desk: Desk, payment: Payment, owned: set[Place], trace: str | None) -> None:
    """Settle a payment of nothing as any other: paid order, entitlement and facts; the ledger has nothing to note.

    `owned` grows by what is given, so a batch gives the same title once.
    """
    known = Known(
        methods=Methods(desk, {}), owned=owned, holders={}, recent_charges={}, trials=Trials(desk, {}, {})
    )
    Collecting(desk, known).apply(Observed(payment_id=payment.id, said=Silence.NOTHING_DUE, trace=trace))
