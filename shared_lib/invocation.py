"""One invocation of a door, by a request or an event: its log context, its log line, and what its caller learns of an error."""

from __future__ import annotations

import re
import time
from contextvars import Token
from types import TracebackType
from typing import Final

import structlog

from shared_lib.domain.errors import Code, Refusal, Transient, Unstorable
from shared_lib.log import begin, end
from shared_lib.replies import RefusedError

RETRY_AFTER_S: Final = 1
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

log = structlog.get_logger("boxoffice")


class Invocation:
    """`with Invocation("request", trace=...) as line:` logs `line` and the duration (`ms`) when the block ends.

    The context, and what `shared_lib.log.note` adds inside the block, stand in every log line of the block. A block that is
    cancelled has no outcome and logs no line.
    """

    def __init__(self, event: str, **context: object) -> None:
        self._event, self._context = event, context
        self._line: dict[str, object] = {}

    def __enter__(self) -> dict[str, object]:
        self._began = time.perf_counter()
        self._token: Token[dict[str, object]] = begin(**self._context)
        return self._line

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            log.info(self._event, **self._line, ms=round((time.perf_counter() - self._began) * 1000, 1))
        end(self._token)


def refusal_for(error: Exception, **where: object) -> Refusal:
    """What the caller learns of an exception: transient errors become 503, bugs a bare 500.

    A bug is logged as `crashed`, with its traceback and `where` it happened.
    """
    match error:
        case RefusedError():
            return error.refusal
        case Transient():
            return Refusal(Code.UNAVAILABLE, str(error), RETRY_AFTER_S)
        case Unstorable():
            return Refusal(Code.INPUT_UNSTORABLE, "The request contains a value that cannot be stored.")
        case _:
            log.error("crashed", exc_info=error, **where)
            return Refusal(Code.INTERNAL, "The error has been logged. Retrying is safe.")


def valid_trace(value: str | None) -> str | None:
    """A `traceparent` (W3C Trace Context), or None: anything else is dropped, because it becomes a header of our events."""
    return value if value and _TRACEPARENT.fullmatch(value) else None
