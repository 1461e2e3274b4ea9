"""Loopback ports: choose a free one, wait until a server answers on it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from http import HTTPStatus

import httpx

LOOPBACK = "127.0.0.1"
POLL_S = 0.02
READY_S = 60.0


class NotReadyError(RuntimeError):
    """The server did not answer in time, or its process has ended."""


def free_port() -> int:
    """Return a TCP port that was free on loopback a moment ago.

    Another process may take it before you bind it: give a server that fails to bind another one.
    """
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_tcp(
    port: int, *, host: str = LOOPBACK, timeout_s: float = READY_S, alive: Callable[[], bool] | None = None
) -> None:
    """Return as soon as a server accepts connections on `host:port`.

    Raises NotReadyError after `timeout_s`, or at once when `alive()` says that its process has ended.
    """
    wait_until(lambda: accepts(host, port), f"{host}:{port}", timeout_s=timeout_s, alive=alive)


def wait_for_http(url: str, *, timeout_s: float = READY_S, alive: Callable[[], bool] | None = None) -> None:
    """Return as soon as a GET of `url` is answered with a status below 500.

    Raises NotReadyError after `timeout_s`, or at once when `alive()` says that its process has ended.
    """
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        wait_until(lambda: answers(client, url), url, timeout_s=timeout_s, alive=alive)


def wait_until(
    ready: Callable[[], bool], what: str, *, timeout_s: float, alive: Callable[[], bool] | None = None
) -> None:
    """Ask `ready()` every 20 ms. Raises NotReadyError naming `what` after `timeout_s` or when `alive()` is false."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if alive is not None and not alive():
            raise NotReadyError(f"{what}: the process ended before it was ready")
        if time.monotonic() > deadline:
            raise NotReadyError(f"{what}: not ready after {timeout_s:g} s")
        time.sleep(POLL_S)


def accepts(host: str, port: int) -> bool:
    """Whether a server accepts connections there now."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def answers(client: httpx.Client, url: str) -> bool:
    """Whether a GET is answered with a status below 500."""
    try:
        return client.get(url).status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    except httpx.TransportError:
        return False
