"""The address of a client that stands behind proxies of ours."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from starlette.requests import Request

from shared_lib.addresses import Network

# A header that a stranger wrote may have any number of entries; our own proxies add a few.
_ENTRIES_MAX: Final = 20

Address = IPv4Address | IPv6Address


def client_address(request: Request, trusted: Sequence[Network]) -> str | None:
    """The address from which the call reached our proxies; None when it is not known.

    Each proxy adds to X-Forwarded-For, at its end, from whom it took the call. So the header is read from its end, and only
    as long as a proxy of ours wrote it: what a client put at its beginning is never reached. Loopback is trusted always, as
    uvicorn does: a process there is ours.
    """
    address = _read(request.client.host) if request.client else None
    said = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    for entry in reversed(said[-_ENTRIES_MAX:]):
        if address is None or not _is_ours(address, trusted) or not entry.strip():
            break
        address = _read(entry)
    return None if address is None else str(address)


def _is_ours(address: Address, trusted: Sequence[Network]) -> bool:
    return address.is_loopback or any(address in network for network in trusted)


def _read(text: str) -> Address | None:
    """An IPv4 address that a socket for both families shows as IPv6 counts as IPv4."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
