"""Logs: JSON lines, or readable ones on a terminal. Secrets and card numbers are removed.

The lines of one turn of the event loop are written together (shared_lib/log_lines.py).
"""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import structlog

from shared_lib.log_lines import LineWriter
from shared_lib.redaction import HIDDEN, harmless, is_secret, redacted

_NOTHING: dict[str, object] = {}
_facts: ContextVar[dict[str, object]] = ContextVar("facts", default=_NOTHING)  # outside of any invocation
_lines: LineWriter | None = None


def configure(*, function: str, revision: str | None = None, pretty: bool | None = None) -> None:
    """Configure the logging of a process. Every line has `function`, and `revision` if given."""
    global _lines
    process = {"function": function} | ({"revision": revision} if revision else {})
    readable = sys.stderr.isatty() if pretty is None else pretty
    flush()
    _lines = writer = LineWriter(sys.stderr)
    structlog.configure(
        processors=[
            partial(_with_facts, process),
            structlog.processors.format_exc_info,
            _redact,
            *(_for_a_terminal() if readable else [_json]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )


def flush() -> None:
    """Write the lines that wait. For a process that may end before the next turn of its event loop; called at exit too."""
    if _lines:
        _lines.flush()


atexit.register(flush)


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


def _json(_: Any, level: str, line: Mapping[str, Any]) -> str:
    return _ENCODER.encode({**line, "level": level, "timestamp": datetime.now(UTC)}).decode()


def _as_text(value: Any) -> str:
    """What the encoder does not know, if `redacted` let it pass: subclasses of str and float."""
    return str(value) if isinstance(value, str) else repr(value)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_as_text)


def _for_a_terminal() -> list[Callable[[Any, str, MutableMapping[str, Any]], Any]]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(),
    ]


def _redact(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if harmless(line):
        return line
    return {name: HIDDEN if is_secret(name) else redacted(value) for name, value in line.items()}
