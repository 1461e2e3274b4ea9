"""How long PostgreSQL may keep us waiting: by its own clock where it answers, by ours where it does not.

Time outs are connection options, so they cost no round trip. Command-line tools and migrations connect without them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection, Error, ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

# A phase holds its locks for milliseconds. One that waits longer is blocked by a transaction that does not end.
LOCK_WAIT_S: Final = 0.5
STATEMENT_S: Final = 5.0
# A process of ours that stops between two statements must not keep its locks. In a pipeline the server takes such a process
# for one that is still sending, so that only a bound on the whole transaction ends it (PostgreSQL 17 and newer).
IDLE_IN_TRANSACTION_S: Final = 15.0
# A whole transaction, by our clock: longer than a statement, because a server that still runs should refuse it itself.
ATTEMPT_S: Final = 8.0
# How long an item waits for a connection, since it came: while PostgreSQL is away its caller is answered within five seconds,
# whatever else the answer costs, and no later for having waited behind others. One that has waited long for a writer still has a
# moment.
CONNECTION_S: Final = 4.0
LAST_MOMENT_S: Final = 0.5

_SERVER_SIDE: Final = {
    "lock_timeout": LOCK_WAIT_S,
    "statement_timeout": STATEMENT_S,
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_S,
}
# A peer that vanished without a word (a dead host, a firewall) is noticed within about ten seconds.
_KEEPALIVE: Final = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one try: how long it waits for a lock (None: as the connection says), and by when, in the loop's time, it is connected."""

    lock_wait_s: float | None
    connected_by: float

    def connection_s(self) -> float:
        return max(self.connected_by - asyncio.get_running_loop().time(), LAST_MOMENT_S)


def connection_options(url: str, *, bounded: bool) -> dict[str, Any]:
    """Parameters of a connection beside its address. What the address itself asks for wins.

    Raises ValueError, without repeating the address, when it cannot be read: it may hold a password.
    """
    try:
        own = conninfo_to_dict(url)
    except ProgrammingError:
        own = {}
    if not own:
        raise ValueError("database_url is not an address of PostgreSQL (postgresql://user@host:port/name)")
    if not bounded:
        return {}
    ours = " ".join(f"-c {name}={round(seconds * 1000)}" for name, seconds in _SERVER_SIDE.items())
    # The server reads from left to right: the last word is the operator's.
    options = {"options": f"{ours} {own.get('options') or ''}".strip()}
    return {name: value for name, value in _KEEPALIVE.items() if name not in own} | options


async def bound_transactions(connection: AsyncConnection[Any]) -> None:
    """Set transaction_timeout where the server knows it. An older server would refuse the connection because of the option."""
    await connection.execute(
        "SELECT set_config('transaction_timeout', %s, false)"
        " WHERE current_setting('server_version_num')::int >= 170000",
        [str(round(IDLE_IN_TRANSACTION_S * 1000))],
    )


@dataclass(slots=True)
class Bound:
    """`exceeded` says that the connection was cut because the time was over."""

    exceeded: bool = False


@contextmanager
def bound(connection: AsyncConnection[Any], seconds: float) -> Iterator[Bound]:
    """Cut the connection when the block takes longer: whatever waits for it fails at once, with an OperationalError.

    Cancelling would not do: the driver then asks the server to cancel, and waits for a server that does not answer.
    """
    state = Bound()
    alarm = asyncio.get_running_loop().call_later(seconds, _cut, connection, state)
    try:
        yield state
    finally:
        alarm.cancel()


def _cut(connection: AsyncConnection[Any], state: Bound) -> None:
    state.exceeded = True
    with suppress(OSError, Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def connection_pool(
    url: str, *, connections_max: int, timeout_s: float = CONNECTION_S, bounded: bool = True
) -> AsyncConnectionPool[Any]:
    """A pool that is opened by the warm instance, never at import. Connections prove themselves before use.

    `bounded` sets the time outs of bounds.py. Raises ValueError when the address cannot be read.
    """
    return AsyncConnectionPool[Any](
        url,
        min_size=1,
        max_size=connections_max,
        open=False,
        timeout=timeout_s,
        configure=bound_transactions if bounded else None,
        # Its pauses between attempts double up to this; by default an outage of minutes would last minutes longer.
        reconnect_timeout=3.0,
        kwargs={
            "autocommit": True,
            "prepare_threshold": 3,
            "connect_timeout": 3,
            "application_name": "boxoffice",
            **connection_options(url, bounded=bounded),
        },
    )
