"""The broker's settings, shared by the jars and the container: one node that is broker and controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Any id works, if it stays the same over a restart.
CLUSTER_ID: Final = "5L6g3nShT-eMCtK--X86sw"

COMMON: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # One node, so no replicas.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Topics are created with their twelve partitions; auto-creation would use the default number.
    "auto.create.topics.enable": "false",
    # Small and quick: the defaults are for a dedicated machine.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "4194304",
    # Tests start and kill consumers and brokers often. After SIGKILL, the controller rejects the restarted broker until the
    # session of the killed one has expired (9 s by default).
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}
