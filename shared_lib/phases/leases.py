"""Leases on payments and refunds, committed before their providers are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared_lib.billing.case import Undecidable
from shared_lib.billing.leasing import (
    LeaseContext,
    LeasedPayment,
    LeasedRefund,
    LeaseRequest,
    lease_payment,
    lease_refund,
)
from shared_lib.domain.values import replace
from shared_lib.store.cases import Cases
from shared_lib.store.leasing import read_emails, read_lease_context
from shared_lib.store.transaction import Transaction


async def lease_payments(
    tx: Transaction, requests: Sequence[LeaseRequest]
) -> list[LeasedPayment | Undecidable | None]:
    """Lease payments to the caller, who then asks their providers. None: this caller must not ask now.

    Cancel wins: the subscription is locked and looked at again here, just before sending.
    """
    cases = await Cases.of_payments(tx, [request.id for request in requests])
    locked = [(case, case.payments[one.id]) for one in requests if (case := cases.of_payment(one.id))]
    context = await read_lease_context(
        tx, [(payment.payment_method_id, case.order_of(payment).customer_id) for case, payment in locked]
    )
    answers = [_lease_payment(cases, request, context) for request in requests]
    cases.write()
    return answers


def _lease_payment(
    cases: Cases, request: LeaseRequest, context: LeaseContext
) -> LeasedPayment | Undecidable | None:
    case = cases.of_payment(request.id)
    if case is None:
        return None
    case, leased = lease_payment(case, case.payments[request.id], request, context)
    cases.keep(case)
    return leased


async def lease_refunds(
    tx: Transaction, requests: Sequence[LeaseRequest]
) -> list[LeasedRefund | Undecidable | None]:
    """Lease refunds to the caller, who then asks their providers. None: this caller must not ask now."""
    cases = await Cases.of_refunds(tx, [request.id for request in requests])
    found = [(case, case.refunds[one.id]) for one in requests if (case := cases.of_refund(one.id))]
    emails = await read_emails(tx, {case.order_of(refund).customer_id for case, refund in found})
    answers = [_lease_refund(cases, request, emails) for request in requests]
    cases.write()
    return answers


def _lease_refund(
    cases: Cases, request: LeaseRequest, emails: Mapping[str, str]
) -> LeasedRefund | Undecidable | None:
    case = cases.of_refund(request.id)
    if case is None:
        return None
    case, leased = lease_refund(case, case.refunds[request.id], request)
    cases.keep(case)
    if isinstance(leased, LeasedRefund):
        return replace(leased, email=emails.get(leased.order.customer_id))
    return leased
