"""Ask a provider about one payment or refund now, whatever the schedule: an operator wants to know."""

from __future__ import annotations

import asyncio

import structlog

from shared_lib.asking.payments import ASK_S, ask_payment, ask_refund, of_our_mode
from shared_lib.billing.case import Undecidable
from shared_lib.billing.leasing import LeaseRequest
from shared_lib.billing.reports import PaymentReport
from shared_lib.phases.leases import lease_payments, lease_refunds
from shared_lib.phases.payments import settle_payments
from shared_lib.phases.refunds import settle_refunds
from shared_lib.providers.base import ProviderError
from shared_lib.queries.refunds import refundable_ref
from shared_lib.runtime import Runtime

log = structlog.get_logger("boxoffice")


def may_be_asked_about(id_: str | None) -> bool:
    return id_ is not None and id_.startswith(("pay_", "ref_"))


async def ask_now(rt: Runtime, id_: str) -> None:
    """Lease it, ask its provider, settle the answer. Nothing happens while another process holds its lease.

    A payment that is over is only looked up: money that came late is booked, as if its webhook had come.
    """
    request = LeaseRequest(id=id_, providers=rt.providers.keys(), early=True)
    if id_.startswith("ref_"):
        refund = await rt.run(lease_refunds, request)
        if isinstance(refund, Undecidable):
            log.warning("not_asked", id=id_, reason=refund.reason)
        elif refund:
            await rt.run(settle_refunds, await ask_refund(rt, refund))
        return
    payment = await rt.run(lease_payments, request)
    if isinstance(payment, Undecidable):
        log.warning("not_asked", id=id_, reason=payment.reason)
    elif payment:
        await rt.run(settle_payments, await ask_payment(rt, payment))
    elif report := await _looked_up(rt, id_):
        await rt.run(settle_payments, report)


async def _looked_up(rt: Runtime, payment_id: str) -> PaymentReport | None:
    """What the provider has of a payment that may not be leased. None: it has none, or does not answer."""
    ref = await rt.read(refundable_ref, payment_id)
    provider = rt.providers.get(ref.provider) if ref else None
    if ref is None or provider is None:
        return None
    try:
        async with asyncio.timeout(ASK_S):
            found = await provider.fetch_payment(ref)
    except (ProviderError, TimeoutError) as error:
        log.warning("not_asked", id=payment_id, reason=type(error).__name__)
        return None
    # Without a lease only what the provider said is reported, never what we conclude from its silence.
    outcome = of_our_mode(rt, payment_id, found)
    return PaymentReport(payment_id=payment_id, outcome=found, asked=True) if outcome is found else None
