"""PATCH /v1/subscriptions/{id}: opt out of renewals, or back in. At once, in every state, idempotently."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from shared_lib.billing.auto_renew import ChangeAutoRenew
from shared_lib.contract import routes
from shared_lib.contract.commands import UpdateSubscription
from shared_lib.contract.views import subscription_view
from shared_lib.log import note
from shared_lib.phases.auto_renew import change_auto_renew
from shared_lib.runtime import runtime
from shared_lib.web import framework
from shared_lib.web.dispatch import Calls, dispatch
from shared_lib.web.gated import gated
from shared_lib.web.http import Reply, authenticated, endpoint, parse, unwrap


@framework.http
@gated
@endpoint
async def subscription(request: Request) -> Reply:
    return await dispatch(request, CALLS)


async def update(request: Request, subscription_id: str) -> Reply:
    principal = await authenticated(request)
    command = await parse(request, UpdateSubscription)
    note(subscription=subscription_id)
    wanted = ChangeAutoRenew(
        customer_id=principal.customer_id, subscription_id=subscription_id, auto_renew=command.auto_renew
    )
    changed = unwrap(await runtime().run(change_auto_renew, wanted))
    view = subscription_view(
        changed.subscription,
        checkout_url=changed.checkout_url,
        charge_in_flight=changed.charge_in_flight,
    )
    return Reply(200, view)


CALLS: Final[Calls] = {routes.UPDATE_SUBSCRIPTION: update}
