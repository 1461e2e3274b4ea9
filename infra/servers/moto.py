"""A real moto server in place of Amazon SES: it checks identities as SES does, and keeps the mails it accepted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Self

import boto3
import httpx

from infra.servers.base import Server
from infra.servers.ports import LOOPBACK, answers, free_port
from infra.servers.sent_mails import PATH, SentMail, accepted

REGION = "eu-central-1"
FAKE_CREDENTIAL = "testing"  # moto wants a key id and a secret, and accepts any
START_TIMEOUT_S = 120.0


class EmbeddedMoto(Server):
    """moto_server on loopback. Its mails and identities are lost when it ends."""

    name = "moto"

    def __init__(self, *, port: int | None = None, log_file: Path | None = None) -> None:
        super().__init__(log_file)
        self.port = port or free_port()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Start it unless it runs; return when it answers. Raises NotReadyError after START_TIMEOUT_S."""
        if self.running:
            return self
        argv = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]
        with httpx.Client(timeout=2.0, trust_env=False) as client:
            self._launch(
                argv, ready=lambda: answers(client, f"{self.url}/moto-api/"), timeout_s=START_TIMEOUT_S
            )
        return self

    def verify_domain(self, domain: str) -> None:
        """Allow mail from `domain`; SES and moto refuse senders that are not verified."""
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
        """Delete every message and every verified identity."""
        httpx.post(f"{self.url}/moto-api/reset", trust_env=False, timeout=START_TIMEOUT_S).raise_for_status()


def sent_mails(url: str) -> list[SentMail]:
    """What the moto server at `url` has accepted."""
    answer = httpx.get(url + PATH, trust_env=False, timeout=START_TIMEOUT_S)
    return accepted(answer.raise_for_status().json())
