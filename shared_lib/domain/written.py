"""Texts that come from outside and are read by others: addresses, languages, titles, references. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

ADDRESS_CHARS_MAX = 254  # RFC 5321: what fits between the angle brackets of a path
_LOCAL_CHARS_MAX = 64
_DOMAIN_CHARS_MAX = 253

# RFC 5322's dot-atom. Quoted local parts, comments and domain literals are refused: the mail service takes none of them.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LOCALE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}")
_LOCALE_CHARS_MAX = 35
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")

_SPACES = frozenset({"Cc", "Zl", "Zp", "Zs"})
_JOINERS = frozenset(
    "\u200c\u200d"
)  # they shape scripts and emoji; every other format character may mislead a reader
_LEFT = ("M", "C", "Z")  # first letters of the categories that cannot end a text: marks, controls, spaces
_ELLIPSIS = "\u2026"


@lru_cache(maxsize=4096)  # the same customers come again
def mailable(address: str | None) -> str | None:
    """The address with its domain in ASCII, if exactly one plain mailbox is written there; else None. Never raises."""
    if address is None or len(address) > ADDRESS_CHARS_MAX:
        return None
    local, _, domain = address.rpartition("@")
    if len(local) > _LOCAL_CHARS_MAX or not _LOCAL.fullmatch(local):
        return None
    ascii_domain = _in_ascii(domain)
    if ascii_domain is None:
        return None
    found = f"{local}@{ascii_domain}"
    return found if len(found) <= ADDRESS_CHARS_MAX else None


@lru_cache(maxsize=512)  # most customers have their address in one of a few
def _in_ascii(domain: str) -> str | None:
    try:
        ascii_domain = domain.encode("idna").decode()
    except UnicodeError:
        return None
    labels = ascii_domain.split(".")
    if len(ascii_domain) > _DOMAIN_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    return ascii_domain


def language_tag(text: str) -> str | None:
    """The text, if it is formed as a BCP 47 tag or a POSIX locale: ru, pt-BR, zh_Hant_TW."""
    return text if len(text) <= _LOCALE_CHARS_MAX and _LOCALE.fullmatch(text) else None


def plain_reference(id_: str, chars_max: int) -> str:
    """A customer's id as any provider takes it: letters, digits, `-` and `_`. Another id becomes its digest.

    The same id has the same reference. `chars_max` is at least 71, the length of a digest.
    """
    if len(id_) <= chars_max and _PLAIN.fullmatch(id_):
        return id_
    return "sha256-" + hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(maxsize=1024)  # it looks at each character, and many customers order the same title
def shown_title(title: str, units_max: int, *, otherwise: str) -> str:
    """A title on one line, without characters that turn or hide text, in at most `units_max` UTF-16 units.

    UTF-16 is the widest way in which providers count characters. `otherwise` stands for a title with nothing to see.
    """
    line = " ".join("".join(_kept(character) for character in title).split())
    if not any(unicodedata.category(character)[0] in "LNPS" for character in line):
        line = otherwise
    if _units(line) <= units_max:
        return line
    room, used, end = units_max - _units(_ELLIPSIS), 0, 0
    for end, character in enumerate(line):  # noqa: B007 - where the loop stopped is what is wanted
        used += _units(character)
        if used > room:
            break
    cut = line[:end]
    while cut and unicodedata.category(cut[-1])[0] in _LEFT:
        cut = cut[:-1]
    return cut + _ELLIPSIS


def _kept(character: str) -> str:
    category = unicodedata.category(character)
    if category in _SPACES:
        return " "
    return "" if category[0] == "C" and character not in _JOINERS else character


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)
