"""Our membership in the consumer group. Hides that kafka-python's consumer blocks and belongs to one thread.

Four traps of kafka-python 3.0 decide its shape. `pause` followed by `resume` can lose fetched records, so a full trigger
does not pause partitions: it polls single records and seeks back. A rebalance listener runs on the consumer's network
thread, which sends the heartbeats, so ours only awaits. A rejoin that outlives the poll in which it began may be dropped
half-way, without heartbeats and without an error, so it is requested again. A consumer does not survive a fork, so it is
made in `join`, by the process that uses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

import structlog
from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError
from kafka.structs import MemberState

from shared_lib.domain.values import Value
from shared_lib.workers.kafka_client import servers
from shared_lib.workers.trigger.envelope import Record

MAX_POLL_INTERVAL_S: Final = 300.0
# The partitions of a dead trigger move on when its session ends. A named one (static member) gets longer to come back.
SESSION_S: Final = 10.0
NAMED_SESSION_S: Final = 30.0
# Also how soon a member learns that another one joins or leaves.
HEARTBEAT_S: Final = 1.0
COMMIT_MAX_S: Final = 5.0
_LOOP_POLL_S: Final = 0.01

Partition = TopicPartition
T = TypeVar("T")

log = structlog.get_logger("boxoffice")


class Owner(Protocol):
    """Works on the assigned partitions. Its methods are called on the event loop, while a poll waits."""

    async def given(self, partitions: Iterable[Partition]) -> None: ...

    async def revoked(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Finish what is in flight, drop the rest. Returns the positions to commit: the first offsets that are not done."""
        ...

    async def lost(self, partitions: Iterable[Partition]) -> None:
        """Another member owns them already: drop them at once."""
        ...


class Group(Value, kw_only=True):
    """Which group to join, and under which name."""

    bootstrap: Sequence[str]
    topics: Sequence[str]
    name: str
    instance: str = ""  # a name of its own makes it a static member

    @property
    def session_s(self) -> float:
        return NAMED_SESSION_S if self.instance else SESSION_S


class Member:
    """Polls and commits. One thread makes every call of the consumer."""

    def __init__(self, group: Group, *, poll_max: int) -> None:
        self._group = group
        self._poll_max = poll_max
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-consumer")
        self._consumer: KafkaConsumer | None = None

    async def join(self, owner: Owner) -> None:
        """Raises KafkaError when no broker answers within half a minute."""
        await self._call(self._join, owner, asyncio.get_running_loop())

    async def poll(self, timeout_s: float) -> list[Record]:
        """The next records, in the order of offsets within each partition. Rebalances happen in here."""
        return await self._call(self._poll, int(timeout_s * 1000), self._poll_max)

    async def keep(self) -> None:
        """A poll that takes no record: it keeps the membership alive and lets rebalances go on."""
        await self._call(self._keep)

    async def commit(self, positions: Mapping[Partition, int]) -> None:
        """Raises KafkaError, CommitFailedError or RebalanceInProgressError among them: commit again later."""
        await self._call(self._commit, _offsets(positions))

    async def lag(self, positions: Mapping[Partition, int]) -> int:
        """How many records of our partitions were produced and are not done, as of the last fetch."""
        return await self._call(self._lag, dict(positions))

    async def leave(self) -> None:
        """A member without a name leaves the group at once; a named one is expected back."""
        await self._call(self._leave)
        self._thread.shutdown()

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    # ---- in the consumer's thread ----------------------------------------------------------------------------

    def _join(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._consumer = KafkaConsumer(
            **servers(self._group.bootstrap),
            client_id=f"boxoffice-trigger-{self._group.instance}".rstrip("-"),
            group_id=self._group.name,
            group_instance_id=self._group.instance or None,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_poll_records=self._poll_max,
            max_poll_interval_ms=int(MAX_POLL_INTERVAL_S * 1000),
            session_timeout_ms=int(self._group.session_s * 1000),
            heartbeat_interval_ms=int(HEARTBEAT_S * 1000),
            metadata_max_age_ms=5_000,  # a topic created later is found within this time
            reconnect_backoff_max_ms=2_000,
            allow_auto_create_topics=False,
        )
        for (
            topic
        ) in self._group.topics:  # fetch metadata first: the first assignment would be empty without it
            self._consumer.partitions_for_topic(topic)
        listener = _Moves(self._consumer, owner, loop)
        self._consumer.subscribe(topics=list(self._group.topics), listener=listener)

    def _poll(self, timeout_ms: int, records_max: int) -> list[Record]:
        assert self._consumer is not None
        found = self._consumer.poll(timeout_ms=timeout_ms, max_records=records_max)
        if not found and self._consumer.group_metadata().state is MemberState.REBALANCING:
            # The reason to rejoin may be gone (topics that differed are equal now), but the join must still finish. When it
            # does, this request has no effect.
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001
        return [
            Record(
                each.topic, each.partition, each.offset, each.timestamp, each.key, each.value, each.headers
            )
            for records in found.values()
            for each in records
        ]

    def _keep(self) -> None:
        assert self._consumer is not None
        for record in self._poll(100, 1):
            self._consumer.seek(TopicPartition(record.topic, record.partition), record.offset)

    def _commit(self, offsets: dict[Partition, OffsetAndMetadata]) -> None:
        assert self._consumer is not None
        self._consumer.commit(offsets, timeout_ms=int(COMMIT_MAX_S * 1000))

    def _lag(self, positions: dict[Partition, int]) -> int:
        assert self._consumer is not None
        ours = self._consumer.assignment()
        ends = {
            partition: self._consumer.highwater(partition) for partition in positions if partition in ours
        }
        return sum(max(0, end - positions[partition]) for partition, end in ends.items() if end is not None)

    def _leave(self) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=int(COMMIT_MAX_S * 1000))


class _Moves(AsyncConsumerRebalanceListener):
    """Runs on the consumer's network thread while a poll waits, and calls the owner on the event loop."""

    def __init__(self, consumer: KafkaConsumer, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._consumer = consumer
        self._owner = owner
        self._loop = loop

    async def on_partitions_assigned(self, assigned: Iterable[Partition]) -> None:
        await self._on_loop(self._owner.given(assigned))

    async def on_partitions_revoked(self, revoked: Iterable[Partition]) -> None:
        positions = await self._on_loop(self._owner.revoked(revoked))
        if not positions:
            return
        try:
            await self._consumer.commit_async(_offsets(positions))
        except KafkaError as error:  # the next owner delivers again what we could not commit
            log.info("commit_failed", error=type(error).__name__, partitions=len(positions))

    async def on_partitions_lost(self, lost: Iterable[Partition]) -> None:
        await self._on_loop(self._owner.lost(lost))

    async def _on_loop(self, call: Coroutine[Any, Any, T]) -> T:
        """Await `call` on the event loop. The network thread, which is no asyncio loop, keeps sending heartbeats meanwhile."""
        result = asyncio.run_coroutine_threadsafe(call, self._loop)
        while not result.done():
            await self._consumer._net.sleep(_LOOP_POLL_S)  # noqa: SLF001
        return result.result()


def _offsets(positions: Mapping[Partition, int]) -> dict[Partition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in positions.items()}
