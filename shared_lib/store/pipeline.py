"""A pipeline whose statements leave together: the driver's own sends each of them alone."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection, AsyncPipeline
from psycopg.abc import PQGen


def together(connection: AsyncConnection[Any]) -> AbstractAsyncContextManager[AsyncPipeline]:
    """`connection.pipeline()`, in which statements gather until an answer is waited for.

    The driver's own makes two system calls for each and wakes the server: talking was half of what a small batch cost.
    """
    connection._pipeline = _Together(connection)  # noqa: SLF001  # pipeline() begins and ends the one it finds
    return connection.pipeline()


class _Together(AsyncPipeline):
    """Replaces a method that psycopg does not document: tests/store/test_pipeline.py says when it is no longer called."""

    def _communicate_gen(self) -> PQGen[None]:
        """Hand the commands to libpq, which sends them in blocks of 8 KiB and the rest with the next flush or Sync.

        Answers are read where one is waited for, and at the end of the pipeline; both first send all that is left.
        """
        while self.command_queue:
            self.command_queue.popleft()()
        yield from ()
