"""HTTP as bytes, for requests that no client library would send."""

from __future__ import annotations

import json
import re
import socket
from typing import Any


def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Send the bytes of `request` unchanged; the answer's status, headers and body. Status 0: it has no status line."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        connection.makefile("rb") as answer,
    ):
        connection.sendall(request)
        head = b""
        while not head.endswith(b"\r\n\r\n") and (line := answer.readline()):
            head += line
        length = re.search(rb"(?i)^content-length: *(\d+)\r", head, re.MULTILINE)
        body = b"" if request.startswith(b"HEAD ") else answer.read(int(length[1]) if length else -1)
    if not head.startswith(b"HTTP/"):
        return 0, {}, json.loads(head)
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parsed = json.loads(body) if body and "json" in headers.get("content-type", "") else body
    return int(first.split()[1]), headers, parsed
