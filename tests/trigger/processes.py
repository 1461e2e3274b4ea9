"""Triggers as they run in production, `python -m shared_lib.workers.trigger`, to stop, kill and freeze."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.sandbox.launch import new_webhook_secret
from infra.servers.leash import spawn
from tests.kit.kafka import OwnTopic
from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


class TriggerProcess:
    def __init__(self, own_topic: OwnTopic, door: str, *, instance: str = "", port: int = 0) -> None:
        settings = {
            "DATABASE_URL": "postgresql://none@127.0.0.1:1/none",  # it needs none
            "SANDBOX_URL": "http://127.0.0.1:9",
            "SANDBOX_WEBHOOK_SECRETS": new_webhook_secret(),
            "EVENT_SECRETS": new_webhook_secret(),
            "KAFKA_BOOTSTRAP": ",".join(own_topic.bootstrap),
            "EVENT_ROUTES": json.dumps({"billing.": door}),
            "TRIGGER_TOPICS": own_topic.name,
            "TRIGGER_GROUP": own_topic.group,
            "TRIGGER_INSTANCE": instance,
            "TRIGGER_PORT": str(port),
        }
        environment = os.environ | {f"BOXOFFICE_{name}": value for name, value in settings.items()}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        argv = [sys.executable, "-m", "shared_lib.workers.trigger"]
        self.process: subprocess.Popen[bytes] = spawn(argv, output=self._log, env=environment, cwd=ROOT)

    def says(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def end(self, how: signal.Signals) -> int:
        """Signal it and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        self.end(signal.SIGKILL)
        self._log.close()


@contextmanager
def processes() -> Iterator[list[TriggerProcess]]:
    """Every process in the list is ended with the block."""
    started: list[TriggerProcess] = []
    try:
        yield started
    finally:
        for one in started:
            one.close()
