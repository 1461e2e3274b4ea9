"""Logs: JSON lines for machines, readable ones on a terminal. Secrets and card numbers never get through."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from functools import lru_cache, partial
from typing import Any

import structlog
from pydantic_core import to_json

_SECRET_NAMES = re.compile(
    r"authorization|token|secret|password|api_?key|signature|cvc|cvv|\bpan\b|card_?number", re.IGNORECASE
)
_SECRET_SHAPES = re.compile(r"whsec_[\w+/=]+|sk_\w+|eyJ[\w-]+\.[\w-]+\.[\w-]+|Bearer\s+\S+")
_DIGITS = re.compile(r"\b(?:\d[ -]?){12,18}\d\b")
_SUSPECT = re.compile(r"whsec_|sk_|eyJ|Bearer|\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d[ -]?\d")
_SECRET_CHARS_MIN = 6
_HIDDEN = "[hidden]"

_NOTHING: dict[str, object] = {}
_facts: ContextVar[dict[str, object]] = ContextVar("facts", default=_NOTHING)  # outside of any invocation


def configure(*, function: str, pretty: bool | None = None) -> None:
    """Set logging up for a process. `function` stands in every line."""
    readable = sys.stderr.isatty() if pretty is None else pretty
    renderer = structlog.dev.ConsoleRenderer() if readable else _json
    structlog.configure(
        processors=[
            partial(_with_facts, function),
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _redact,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def begin(**facts: object) -> Token[dict[str, object]]:
    """An invocation begins: what is noted until `end` stands in each of its lines, beside what stood there before."""
    return _facts.set({**_facts.get(), **facts})


def note(**facts: object) -> None:
    """Add to the lines of this invocation: order, payment, refund, subscription, provider, outcome."""
    if (noted := _facts.get()) is not _NOTHING:
        noted.update(facts)


def end(token: Token[dict[str, object]]) -> None:
    _facts.reset(token)


def _with_facts(function: str, _: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {"function": function, **_facts.get(), **line}


def _json(_: Any, __: str, line: MutableMapping[str, Any]) -> str:
    return to_json(line, fallback=repr).decode()


def _redact(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: _HIDDEN if _is_secret(name) else redacted(value) for name, value in line.items()}


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def redacted(value: Any) -> Any:
    """The value without anything that looks like a secret or a card number."""
    if isinstance(value, str):
        # Almost every value is short and plain; only what could hide something is looked at twice.
        if len(value) < _SECRET_CHARS_MIN or not _SUSPECT.search(value):
            return value
        return _DIGITS.sub(_card, _SECRET_SHAPES.sub(_HIDDEN, value))
    if isinstance(value, Mapping):
        return {key: _HIDDEN if _is_secret(str(key)) else redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value


def _card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match.group() if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    luhn = (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    return _HIDDEN if luhn else match.group()
