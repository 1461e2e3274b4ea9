"""A customer cancels an order before paying: the payments whose checkouts are to be closed are leased."""

from __future__ import annotations

from collections.abc import Sequence

from shared_lib.billing.cancellations import CancelOrder, OpenedCancellation, open_cancellation
from shared_lib.domain.errors import Code, Refusal
from shared_lib.store.cases import Cases
from shared_lib.store.transaction import Transaction


async def open_cancellations(
    tx: Transaction, requests: Sequence[CancelOrder]
) -> list[OpenedCancellation | Refusal]:
    """Lease payments to the callers, who then close their checkouts. A customer cancels only their own orders."""
    cases = await Cases.of_orders(tx, [request.order_id for request in requests])
    answers = [_open(cases, request) for request in requests]
    cases.write()
    return answers


def _open(cases: Cases, request: CancelOrder) -> OpenedCancellation | Refusal:
    case = cases.of_order(request.order_id)
    if case is None or case.orders[request.order_id].customer_id != request.customer_id:
        return Refusal(Code.NOT_FOUND, "There is no such order.")
    case, opened = open_cancellation(case, case.orders[request.order_id])
    cases.keep(case)
    return opened
