"""From where a webhook came: what a stranger writes into X-Forwarded-For is never believed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from starlette.requests import Request

from shared_lib.web.client import client_address

PROXY, OTHER_PROXY, STRANGER, YOOKASSA = "10.1.2.3", "10.9.9.9", "203.0.113.9", "185.71.76.5"
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def request(peer: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    client = None if peer is None else (peer, 4711)
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers, "client": client})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # No proxy of ours: the header is a stranger's.
        (STRANGER, (YOOKASSA,), STRANGER),
        (STRANGER, (f"{YOOKASSA}, {PROXY}",), STRANGER),
        (YOOKASSA, (), YOOKASSA),
        # A proxy of ours says from whom it took the call, at the end.
        (PROXY, (YOOKASSA,), YOOKASSA),
        (PROXY, (f"{YOOKASSA}, {STRANGER}",), STRANGER),
        (PROXY, (YOOKASSA, STRANGER), STRANGER),
        (PROXY, (f"{YOOKASSA}, {STRANGER}, {OTHER_PROXY}",), STRANGER),
        (PROXY, (f"{STRANGER}, {YOOKASSA}, {OTHER_PROXY}",), YOOKASSA),
        (PROXY, (f"{YOOKASSA}, {PROXY}, {STRANGER}",), STRANGER),
        # Loopback is ours.
        ("127.0.0.1", (YOOKASSA,), YOOKASSA),
        ("::1", (f"{YOOKASSA}, {STRANGER}",), STRANGER),
        ("127.0.0.1", (), "127.0.0.1"),
        # IPv6, and IPv4 in its clothes.
        ("fd00::1", ("2a02:5180::7",), "2a02:5180::7"),
        ("::ffff:10.1.2.3", (YOOKASSA,), YOOKASSA),
        (f"::ffff:{STRANGER}", (YOOKASSA,), STRANGER),
        # What is no address is not passed over.
        (PROXY, (f"{YOOKASSA}, unknown",), None),
        (PROXY, (f"{YOOKASSA}, ",), PROXY),
        (PROXY, (f"{YOOKASSA}, 185.71.76.5:443",), None),
        (PROXY, ("",), PROXY),
        (None, (YOOKASSA,), None),
        ("", (YOOKASSA,), None),
    ],
)
def test_only_what_proxies_of_ours_wrote_is_read(
    peer: str | None, forwarded: tuple[str, ...], address: str | None
) -> None:
    assert client_address(request(peer, *forwarded), TRUSTED) == address


def test_a_header_of_any_length_is_read_from_its_end_alone() -> None:
    endless = ", ".join([YOOKASSA] + [PROXY] * 5000)
    assert client_address(request(PROXY, endless), TRUSTED) == PROXY


def test_without_a_setting_loopback_alone_is_a_proxy() -> None:
    assert client_address(request(PROXY, YOOKASSA), ()) == PROXY
