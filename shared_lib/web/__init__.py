"""The edge of HTTP: a door as an ASGI app, authentication, dispatch, and idempotency keys. Independent of any one function."""

import sys

# httpx would import rich for its command, structlog for tracebacks on a terminal, and greenlet for another kind of threads: an
# eighth of a door's start. They are installed for our command line and for SQLAlchemy.
_NOT_OF_DOORS = ("rich", "pygments", "greenlet")


def _import_as_if_absent() -> None:
    """Import structlog and httpx as if those were not installed, before any other import of a door: they expect the ImportError."""
    absent = [name for name in _NOT_OF_DOORS if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # an import raises ImportError then
    try:
        import httpx  # noqa: F401, PLC0415
        import structlog  # noqa: F401, PLC0415
    finally:
        for name in absent:
            del sys.modules[name]


_import_as_if_absent()
