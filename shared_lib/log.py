"""Logs: JSON lines, or readable ones on a terminal. Secrets and card numbers are removed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from functools import partial
from typing import Any

import structlog
from pydantic_core import to_json

from shared_lib.redaction import HIDDEN, harmless, is_secret, redacted

_NOTHING: dict[str, object] = {}
_facts: ContextVar[dict[str, object]] = ContextVar("facts", default=_NOTHING)  # outside of any invocation


def configure(*, function: str, revision: str | None = None, pretty: bool | None = None) -> None:
    """Configure the logging of a process. Every line has `function`, and `revision` if given."""
    process = {"function": function} | ({"revision": revision} if revision else {})
    readable = sys.stderr.isatty() if pretty is None else pretty
    renderer = structlog.dev.ConsoleRenderer() if readable else _json
    structlog.configure(
        processors=[
            partial(_with_facts, process),
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _redact,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def begin(**facts: object) -> Token[dict[str, object]]:
    """Begin an invocation: until `end`, every line has these facts, those of the surrounding one, and what `note` adds."""
    return _facts.set({**_facts.get(), **facts})


def note(**facts: object) -> None:
    """Add facts to the following lines of this invocation: order, payment, refund, subscription, provider, outcome."""
    if (noted := _facts.get()) is not _NOTHING:
        noted.update(facts)


def end(token: Token[dict[str, object]]) -> None:
    _facts.reset(token)


def _with_facts(
    process: Mapping[str, str], _: Any, __: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {**process, **_facts.get(), **line}


def _json(_: Any, __: str, line: MutableMapping[str, Any]) -> str:
    return to_json(line, fallback=repr).decode()


def _redact(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    if harmless(line):
        return line
    return {name: HIDDEN if is_secret(name) else redacted(value) for name, value in line.items()}
