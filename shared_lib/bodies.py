"""The body of a request, read up to a limit. Used by the edge of HTTP and by the gate for events."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from shared_lib.domain.errors import Code
from shared_lib.replies import RefusedError, refuse


async def body_within(bytes_max: int, receive: Receive, announced: str | None) -> bytes:
    """The whole body. `announced` is the Content-Length of the request.

    Raises RefusedError (BODY_TOO_LARGE), before the body is read if its announced length is too large; ClientDisconnect.
    """
    if announced and announced.isascii() and announced.isdigit() and int(announced) > bytes_max:
        raise _too_large(bytes_max)
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size, more = size + len(chunk), message.get("more_body", False)
        if size > bytes_max:
            raise _too_large(bytes_max)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(bytes_max: int) -> RefusedError:
    return refuse(Code.BODY_TOO_LARGE, f"The body may have at most {bytes_max} bytes.")
