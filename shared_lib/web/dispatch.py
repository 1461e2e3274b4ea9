"""Finds the handler of a request. Paths and methods come from the contract, never from a door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request

from shared_lib.contract.routes import Route, methods_at
from shared_lib.domain.errors import Code
from shared_lib.web.http import RefusedError, Reply, not_allowed, path_of, refuse

Calls = Mapping[Route, Callable[..., Awaitable[Reply]]]
"""The calls that a door serves. A handler takes the request and the ids in its path."""


async def dispatch(request: Request, calls: Calls) -> Reply:
    """Run the handler of the call. Raises RefusedError (METHOD_NOT_ALLOWED or NOT_FOUND) when the door has none."""
    segments = path_of(request)
    for route, handler in calls.items():
        if route.method == request.method and (ids := route.ids_in(segments)) is not None:
            return await handler(request, *ids)
    raise _unserved(segments, calls)


def _unserved(segments: list[str], calls: Calls) -> RefusedError:
    """405 for a path that gateways send here and another door serves with other methods; else 404."""
    ours = {route.place for route in calls}
    if segments[:1] and segments[0] in ours and (methods := methods_at(segments)):
        return not_allowed(*methods)
    return refuse(Code.NOT_FOUND, "No such path.")
