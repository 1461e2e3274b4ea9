"""Addresses in settings: parsed once, at the start of a process. A ValueError from here never contains the value, which may be a secret."""

from __future__ import annotations

import re
from email.utils import getaddresses
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from shared_lib.domain.written import mailable

_HOST = r"(?:\[[0-9A-Fa-f:.]*\]|[A-Za-z0-9._%-]*)(?::[0-9]{0,5})?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
_HALF_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})|\s")
# The characters of RFC 3986; providers and browsers parse others differently.
_ADDRESS = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
# Names that no owner can have (RFC 2606, RFC 6761, RFC 6762).
_RESERVED: Final = ("example", "test", "invalid", "localhost", "local", "example.com", "example.net", "example.org")  # fmt: skip
Network = IPv4Network | IPv6Network

NAME_CHARS_MAX: Final = 60  # the bar of a mail holds them on a telephone


def database_address(value: str) -> str:
    """The address unchanged, if libpq parses it as we do. Raises ValueError, whose text contains no part of it.

    Drivers quote what they cannot parse: a password with an unencoded @ or / becomes a "host" or "port" in their message.
    """
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("postgresql", "postgres") and parts.netloc.count("@") <= 1
        good = good and _HOSTS.fullmatch(parts.netloc.rpartition("@")[2]) is not None
    except ValueError:
        good = False
    if not good or _HALF_ENCODED.search(value):
        raise ValueError("not an address of PostgreSQL (postgresql://user@host:port/name)")
    return value


def redis_address(value: str | None) -> str | None:
    """None without an address. The error contains no part of it, which may be a password."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        database = parts.path.strip("/")
        good = (
            parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0 and not parts.fragment
        )
        good = good and (not database or (database.isascii() and database.isdigit()))
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "redis_url is not an address of Redis (redis://host:port/number); leave it out for none"
        )
    return value


def web_address(value: str | None) -> str | None:
    """None or empty without an address."""
    if value and not split_origin(value)[0].startswith(("http://", "https://")):
        raise ValueError("not an address of the web (https://host)")
    return value


@lru_cache(maxsize=1024)  # a frontend has few pages to return to
def split_origin(url: str) -> tuple[str, str]:
    """The normalized origin, and the rest unchanged. ("", "") when the URL is not a plain absolute address."""
    if not _ADDRESS.fullmatch(url):
        return "", ""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "", ""
    if parts.username is not None or parts.password is not None or not parts.hostname:
        return "", ""
    return f"{parts.scheme}://{parts.hostname}{port}", url[len(f"{parts.scheme}://{parts.netloc}") :]


def web_origin(value: str) -> str:
    """The origin as browsers send it: lower case, no slash at its end. Raises ValueError for anything else, as a host without a scheme."""
    origin, rest = split_origin(value)
    if not origin or rest not in ("", "/"):
        raise ValueError("not an origin (https://host or https://host:port, without a path)")
    return origin


# ---- what mails show -------------------------------------------------------------------------------------------


def plain_name(value: str) -> str:
    """The name without spaces around it. Raises ValueError for one that is empty, long, or could end a header's line."""
    name = value.strip(" ")
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise ValueError(
            f"not a name: 1 to {NAME_CHARS_MAX} characters on one line, none of which is invisible"
        )
    return name


def mail_address(value: str) -> str:
    """The address unchanged, if it is one bare mailbox."""
    if mailable(value) != value:
        raise ValueError("not one mail address (local@domain)")
    return value


def sender_address(value: str) -> str:
    """A mailbox with or without a name before it: `Cinema <tickets@host>`. It becomes a header, so it is one printable line."""
    found = getaddresses([value]) if value.isprintable() else []
    if len(found) != 1 or mailable(found[0][1]) != found[0][1]:
        raise ValueError("not one sender (Name <local@domain>)")
    return value


def is_placeholder(address: str) -> bool:
    """Whether a web address or a mailbox leads to no customer's screen: a name that is reserved, or this machine."""
    host = (urlsplit(address).hostname or "") if "://" in address else address.rpartition("@")[2].strip("> ")
    host = host.lower().rstrip(".")
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or any(host == name or host.endswith("." + name) for name in _RESERVED)


def networks(value: object) -> object:
    """The networks of a comma list, `10.0.0.0/8, 192.0.2.7, fd00::/8`. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(word.strip()) for word in value.split(",") if word.strip())
    except ValueError:
        pass
    raise ValueError("not a list of networks (10.0.0.0/8, 192.0.2.7)")
