"""python -m infra.sandbox --port 8090 --data ./var/sandbox

Secrets come from the environment, where `ps` does not show them: SANDBOX_API_KEY, SANDBOX_WEBHOOK_SECRET.
Prints one line of JSON with its address once it listens; logs go to stderr.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
from pathlib import Path

import uvicorn

from infra.sandbox.app import build
from infra.sandbox.engine.core import Config
from infra.sandbox.engine.notices import move_endpoint
from infra.sandbox.faces.hangup import AbortableProtocol

LOCAL_API_KEY = "sk_sandbox_local"


def main() -> None:
    options = _options()
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    listener = _listen(options.host, options.port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = build(_config(options, url))
    with app.state.sandbox.moment() as at:
        if options.webhook_url:
            move_endpoint(at.tx, options.webhook_url, os.environ["SANDBOX_WEBHOOK_SECRET"])
        for face, address in options.face_webhook:
            secret = os.environ.get(f"SANDBOX_{face.upper()}_WEBHOOK_SECRET", "")
            move_endpoint(at.tx, address, secret, face)
    config = uvicorn.Config(
        app,
        http=AbortableProtocol,
        access_log=False,
        log_level=options.log_level,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
    )
    print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[listener])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="infra.sandbox", description="A simulated payment provider.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 in a container, whose network is its own"
    )
    parser.add_argument("--port", type=int, default=8090, help="0 chooses a free one")
    parser.add_argument("--data", type=Path, required=True, help="directory of its database")
    parser.add_argument(
        "--webhook-url", help="the only endpoint for events, which are signed with SANDBOX_WEBHOOK_SECRET"
    )
    parser.add_argument(
        "--face-webhook",
        nargs=2,
        action="append",
        default=[],
        metavar=("FACE", "URL"),
        help="the only endpoint for the events of another face; its secret is SANDBOX_<FACE>_WEBHOOK_SECRET",
    )
    parser.add_argument("--public-url", help="where browsers find the checkout page")
    parser.add_argument("--merchant", default="Boxoffice Cinema", help="the name on the checkout page")
    parser.add_argument("--speed", type=float, default=1.0, help="divides the waits between webhook attempts")
    parser.add_argument("--processing-s", type=float, default=4.0, help="how long slow cards take")
    parser.add_argument("--no-control", action="store_true", help="without the control surface")
    parser.add_argument("--log-level", default="warning")
    return parser.parse_args()


def _config(options: argparse.Namespace, url: str) -> Config:
    return Config(
        data=options.data,
        public_url=(options.public_url or url).rstrip("/"),
        api_key=os.environ.get("SANDBOX_API_KEY", LOCAL_API_KEY),
        merchant=options.merchant,
        speed=options.speed,
        processing_s=options.processing_s,
        control=not options.no_control,
    )


def _listen(host: str, port: int) -> socket.socket:
    """Loopback only by default: a caller that reaches the control surface can move the clock."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(512)
    return listener


if __name__ == "__main__":
    main()
