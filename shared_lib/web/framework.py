"""functions-framework where it serves: `functions-framework --target create_order --source functions/create_order/main.py`.

The image serves a function without it (asgi.py). The framework imports Flask, Werkzeug and Jinja, which would be a tenth of
a door's start and 8 MiB of its memory, so it is imported only in a process that it has started.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

Function = Callable[[Request], Awaitable[Response]]
"""What the framework or the door calls: a function of the framework's asynchronous kind."""


def http(function: Function) -> Function:
    """`functions_framework.aio.http`, if the framework loads this function; elsewhere the function as it is."""
    if "functions_framework" not in sys.modules:
        return function
    import functions_framework.aio  # noqa: PLC0415  # loaded already, but for its asynchronous half

    return cast("Function", functions_framework.aio.http(function))
