"""POST /v1/webhooks/{provider}: verify the signature, commit the event, and only then answer 200.

400 for a bad signature, 5xx to receive it again. An event about an object not known yet is parked, not refused.
"""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request

from shared_lib.aside import Round, reason_of
from shared_lib.asking.webhooks import settle_event
from shared_lib.contract import routes
from shared_lib.domain.errors import Code, Transient
from shared_lib.domain.messages import SetAside, SetAsideKind
from shared_lib.log import note
from shared_lib.phases.webhooks import Received, WebhookResult, park_webhooks
from shared_lib.providers.base import (
    PaymentProvider,
    ProviderError,
    ProviderEvent,
    RawWebhook,
    WebhookRejected,
    WebhookUnreadable,
)
from shared_lib.runtime import Runtime, runtime
from shared_lib.store.batch import Failed
from shared_lib.web import framework
from shared_lib.web.client import client_address
from shared_lib.web.dispatch import Calls, dispatch
from shared_lib.web.gated import gated
from shared_lib.web.http import RefusedError, Reply, body_of, endpoint, path_of, refuse

log = structlog.get_logger("boxoffice")


@framework.http
@gated
@endpoint
async def webhook(request: Request) -> Reply:
    match path_of(request):
        case ["webhooks", name] if name not in runtime().providers:
            raise refuse(Code.NOT_FOUND, "No such path.")
    return await dispatch(request, CALLS)


async def receive(request: Request, name: str) -> Reply:
    rt = runtime()
    provider = rt.providers[name]
    raw = RawWebhook(
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await body_of(request),
        source_ip=client_address(request, rt.settings.trusted_proxies),
        received_at=await rt.clock(),
    )
    note(provider=provider.name)
    try:
        events = await provider.parse_webhook(raw)
    except WebhookRejected as error:
        note(outcome=error.code)
        raise refuse(Code.SIGNATURE_INVALID, "The signature of the webhook is not valid.") from None
    except WebhookUnreadable as error:
        raise unreadable(raw, error) from None
    results = [await settle(rt, provider, event) for event in events]
    note(outcome=",".join(results))
    return Reply(200)


def unreadable(raw: RawWebhook, error: WebhookUnreadable) -> RefusedError:
    """The signature is valid, so it is no attack: the provider's format is not the one we know, and a person has to look."""
    id_ = raw.headers.get("webhook-id")
    log.error("webhook_unreadable", provider=error.provider, webhook=id_, why=error.code)
    return refuse(Code.WEBHOOK_UNREADABLE, "The signature is valid, but the body cannot be parsed.")


async def settle(rt: Runtime, provider: PaymentProvider, event: ProviderEvent) -> WebhookResult:
    """Commit one event. Raises Transient (503) when the provider must be asked and does not answer: it will send the event again.

    An event that fails for any other reason is parked and set aside: a provider that gets 5xx for one event for days may
    stop sending all of them.
    """
    try:
        result = await settle_event(rt, provider, event)
    except ProviderError as error:
        raise Transient(f"{provider.name} does not answer: {error.code}") from error
    except Transient:
        raise
    except Exception as error:  # any other error concerns this event alone
        if Failed(error).may_pass:
            raise Transient("the event could not be settled now") from error
        return await kept(rt, Received(provider=provider.name, event=event), reason_of(error))
    if result is WebhookResult.CONTRADICTION:
        log.error("webhook_contradiction", provider=provider.name, event_id=event.dedup_id)
    return result


async def kept(rt: Runtime, received: Received, reason: str) -> WebhookResult:
    await rt.run(park_webhooks, received)
    event_id = f"{received.provider}/{received.event.dedup_id}"
    culprit = SetAside(kind=SetAsideKind.MESSAGE, id=event_id, reason=reason)
    await Round(rt, SetAsideKind.MESSAGE).set_aside([culprit])
    return WebhookResult.PARKED


CALLS: Final[Calls] = {routes.TAKE_WEBHOOK: receive}
