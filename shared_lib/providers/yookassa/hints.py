"""Webhooks of YooKassa. They are not signed: one from its own addresses names an object, which is then fetched."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from shared_lib.providers.base import EventKind, PaymentRef, ProviderEvent, Trust
from shared_lib.providers.reading import Unreadable, mapping, text
from shared_lib.providers.yookassa.answers import BINDING
from shared_lib.providers.yookassa.wire import NAME
from shared_lib.untrusted import UntrustedError, json_of

Networks = Sequence[IPv4Network | IPv6Network]

# As its documentation lists them.
NETWORKS: Final[Networks] = tuple(
    ip_network(network)
    for network in (
        "185.71.76.0/27",
        "185.71.77.0/27",
        "77.75.153.0/25",
        "77.75.154.128/25",
        "77.75.156.11/32",
        "77.75.156.35/32",
        "2a02:5180::/32",
    )
)


def is_theirs(address: str | None, networks: Networks) -> bool:
    """Whether the request came from one of the networks. An address that is unknown did not."""
    try:
        source = ip_address(address or "")
    except ValueError:
        return False
    return any(source in network for network in networks)


def hint_of(body: bytes) -> ProviderEvent:
    """What the webhook is about; an event that we do not use is IGNORED. Raises Unreadable."""
    try:
        it = mapping(json_of(body))
    except UntrustedError as error:
        raise Unreadable(str(error)) from None
    event, about = text(it, "event"), mapping(it.get("object"))
    topic = event.partition(".")[0]
    theirs = text(about, "id") if topic in _KINDS else ""
    paid = text(about, "payment_id") if topic == "refund" else None
    return ProviderEvent(
        dedup_id=f"{event}:{theirs}",
        kind=_KINDS.get(topic, EventKind.IGNORED),
        object_id=BINDING + theirs if topic == "payment_method" else theirs,
        trust=Trust.HINT,
        occurred_at=None,  # there is only the time of the object
        returns=PaymentRef(provider=NAME, provider_payment_id=paid) if paid else None,
    )


# A card that is saved without a payment is a payment of nothing to us.
_KINDS: Final = {
    "payment": EventKind.PAYMENT,
    "refund": EventKind.REFUND,
    "payment_method": EventKind.PAYMENT,
}
