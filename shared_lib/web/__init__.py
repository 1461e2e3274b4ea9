"""The edge of HTTP: a door as an ASGI app, authentication, dispatch, and idempotency keys. Independent of any one function."""

import sys

# structlog would import them for tracebacks on a terminal, httpx for its command: an eighth of a door's start. They are installed
# for our command line.
_FOR_TERMINALS = ("rich", "pygments")


def _import_without_terminals() -> None:
    """Import structlog and httpx as if those were not installed, before any other import of a door: they expect the ImportError."""
    absent = [name for name in _FOR_TERMINALS if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # an import raises ImportError then
    try:
        import httpx  # noqa: F401, PLC0415
        import structlog  # noqa: F401, PLC0415
    finally:
        for name in absent:
            del sys.modules[name]


_import_without_terminals()
