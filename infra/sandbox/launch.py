"""Start the sandbox as a process of its own, and stop it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

_ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxHandle:
    url: str
    api_key: str = field(repr=False)
    process: subprocess.Popen[str] = field(repr=False)
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


def new_webhook_secret() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


@contextmanager
def running_sandbox(
    data_dir: Path,
    webhook_url: str | None = None,
    secret: str | None = None,
    port: int = 0,
    *,
    api_key: str = "sk_sandbox_local",
    public_url: str | None = None,
    merchant: str | None = None,
    speed: float = 1.0,
    processing_s: float = 4.0,
    face_webhooks: Mapping[str, str] = MappingProxyType({}),
    face_secrets: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[SandboxHandle]:
    """A running sandbox, on a free port unless one is given. Its state stays in data_dir.

    `face_webhooks` and `face_secrets`: where each other face sends its events, and what it signs them with.
    """
    options = {
        "--port": str(port),
        "--data": str(data_dir),
        "--speed": str(speed),
        "--processing-s": str(processing_s),
        "--webhook-url": webhook_url,
        "--public-url": public_url,
        "--merchant": merchant,
    }
    given = [word for name, value in options.items() if value is not None for word in (name, value)]
    for face, address in face_webhooks.items():
        given += ["--face-webhook", face, address]
    environment = os.environ | {"SANDBOX_API_KEY": api_key}
    environment |= {"SANDBOX_WEBHOOK_SECRET": secret} if secret else {}
    environment |= {f"SANDBOX_{face.upper()}_WEBHOOK_SECRET": held for face, held in face_secrets.items()}
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "sandbox.log"
    with log.open("a") as errors:
        process = subprocess.Popen(  # noqa: S603  # our own module and options
            [sys.executable, "-m", "infra.sandbox", *given],
            cwd=_ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield SandboxHandle(url=_address(process, log), api_key=api_key, process=process, log=log)
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    """Its address, from the line that it prints when it listens."""
    assert process.stdout is not None
    timer = threading.Timer(START_TIMEOUT_S, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    if not line:
        raise RuntimeError(f"The sandbox did not start: {log.read_text()[-2000:]}")
    return str(json.loads(line)["url"])
