"""A real moto server that plays Amazon SES: it checks identities as SES does and keeps what was sent."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from email import message_from_string
from email.message import EmailMessage
from email.policy import default as modern_policy
from pathlib import Path
from types import TracebackType
from typing import Self

import boto3
import httpx

from infra.servers.leash import spawn
from infra.servers.ports import LOOPBACK, free_port, wait_for_http

REGION = "eu-central-1"
FAKE_CREDENTIAL = "testing"  # moto asks for a key id and a secret, and believes any
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMail:
    """What SES accepted: its message id, the envelope's recipients, and the message as MIME."""

    message_id: str
    recipients: tuple[str, ...]
    message: EmailMessage


class EmbeddedMoto:
    """moto_server on loopback. Its memory ends with it."""

    def __init__(self, *, port: int | None = None, log_file: Path | None = None) -> None:
        self.port = port or free_port()
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it unless it runs. Returns when it answers, within 30 s or NotReadyError."""
        if self.running:
            return self
        argv = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]
        if self._log_file is None:
            self._process = spawn(argv, output=subprocess.DEVNULL)
        else:
            with self._log_file.open("ab") as log:
                self._process = spawn(argv, output=log)
        wait_for_http(f"{self.url}/moto-api/", timeout_s=START_TIMEOUT_S, alive=lambda: self.running)
        return self

    def verify_domain(self, domain: str) -> None:
        """Allow mail from `domain`; SES and moto refuse senders nobody has verified."""
        ses = boto3.client(
            "ses",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=FAKE_CREDENTIAL,
            aws_secret_access_key=FAKE_CREDENTIAL,
        )
        ses.verify_domain_identity(Domain=domain)

    def sent(self) -> list[SentMail]:
        """Return every raw message accepted since the start or the last `reset()`, oldest first."""
        return sent_mails(self.url)

    def reset(self) -> None:
        """Forget every message and every verified identity."""
        httpx.post(f"{self.url}/moto-api/reset", trust_env=False, timeout=START_TIMEOUT_S).raise_for_status()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what an unreachable mail service looks like."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def sent_mails(url: str) -> list[SentMail]:
    """What the moto server at `url` has accepted."""
    models = (
        httpx.get(f"{url}/moto-api/data.json", trust_env=False, timeout=START_TIMEOUT_S)
        .raise_for_status()
        .json()
    )
    return [
        SentMail(
            message_id=raw["id"],
            # moto adds the recipients it reads in the headers to those of the envelope.
            recipients=tuple(dict.fromkeys(raw["destinations"])),
            message=message_from_string(raw["raw_data"], policy=modern_policy),
        )
        for raw in models.get("ses", {}).get("RawMessage", [])
    ]
