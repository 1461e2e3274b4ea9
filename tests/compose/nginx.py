"""A real NGINX with the project's configuration, in front of small real doors, with a name server of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from infra.nginx.doors import FILE
from infra.servers.leash import spawn
from infra.servers.ports import free_port, wait_for_http
from tests.kit.waiting import PATIENCE_S

NGINX_CONF = FILE.with_name("nginx.conf")
REAL_DOOR_PORT = ":8080$request_uri"


def nginx_binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


class Names:
    """A name server on loopback: what `known` says, with a life of a second; anything else does not exist."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                asked, who = self._socket.recvfrom(512)
            except OSError:
                return
            self._socket.sendto(self._answer(asked), who)

    def _answer(self, asked: bytes) -> bytes:
        labels, at = [], 12
        while length := asked[at]:
            labels.append(asked[at + 1 : at + 1 + length].decode())
            at += 1 + length
        question = asked[12 : at + 5]
        address = self.known.get(".".join(labels))
        flags, count = (b"\x81\x80", b"\0\1") if address else (b"\x81\x83", b"\0\0")
        answer = asked[:2] + flags + b"\0\1" + count + b"\0\0\0\0" + question
        if address:
            answer += b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address)
        return answer


class Echo(BaseHTTPRequestHandler):
    """A door that tells what reached it."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        server: Any = self.server
        server.calls.append(f"{self.command} {self.path}")
        if "vanish" in self.path:
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {
            "door": server.name,
            "method": self.command,
            "path": self.path,
            "headers": headers,
            "bytes": len(body),
        }
        answer = json.dumps(told).encode()
        self.send_response(503 if "busy" in self.path else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        if "busy" in self.path:
            self.send_header("retry-after", "7")
        if self.path.startswith("/pay/"):
            self.send_header("content-security-policy", "default-src 'self'")
            self.send_header("x-content-type-options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET  # noqa: N815  # http.server's

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Told:
    status: int
    headers: dict[str, str]
    body: Any
    all_headers: list[str]


@dataclass
class Gateway:
    """NGINX, and the doors behind it by service name."""

    port: int
    names: Names
    door_port: int
    log: Path
    doors: dict[str, ThreadingHTTPServer] = field(default_factory=dict)

    def open(self, name: str, address: str) -> None:
        """A door at an address of its own, all on one port, as containers are."""
        server = ThreadingHTTPServer((address, self.door_port), Echo)
        server.daemon_threads = True
        server.name, server.calls = name, []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.doors[name], self.names.known[name] = server, address

    def close(self, name: str) -> None:
        """As docker does: the container is gone, and so is its name."""
        server = self.doors.pop(name)
        del self.names.known[name]
        server.shutdown()
        server.server_close()

    def calls(self, name: str) -> list[str]:
        server: Any = self.doors[name]
        return list(server.calls)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Told:
        """The path goes out as it stands here."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            raw, pairs = answer.read(), answer.getheaders()
        finally:
            connection.close()
        shown = {name.lower(): value for name, value in pairs}
        parsed = json.loads(raw) if raw and "json" in shown.get("content-type", "") else raw
        return Told(answer.status, shown, parsed, [name.lower() for name, _ in pairs])


@contextmanager
def running_nginx(
    folder: Path, changed: Mapping[str, str] | None = None, conf: str | None = None
) -> Iterator[Gateway]:
    """The project's nginx.conf, or `conf`, with other addresses; of the rest only what is said to be `changed`."""
    names, port, door_port = Names(), free_port(), free_port()
    log = folder / "access.log"
    text = NGINX_CONF.read_text() if conf is None else conf
    for here, there in {
        "/tmp/": f"{folder}/",  # noqa: S108  # the configuration's, replaced here
        "listen 8080 default_server": f"listen 127.0.0.1:{port} default_server",
        "resolver 127.0.0.11 valid=2s": f"resolver 127.0.0.1:{names.port} valid=1s",
        REAL_DOOR_PORT: f":{door_port}$request_uri",
        "/etc/nginx/doors.conf": str(FILE),
        "/dev/stdout": str(log),
        "/dev/stderr": str(folder / "error.log"),
        **(changed or {}),
    }.items():
        assert here in text, here
        text = text.replace(here, there)
    if os.geteuid() == 0:
        text = "user root;\n" + text  # pytest's folders are its own
    (folder / "nginx.conf").write_text(text)
    binary = nginx_binary()
    assert binary
    argv: list[str | Path] = [binary, "-p", folder, "-c", folder / "nginx.conf"]
    argv += ["-e", folder / "error.log", "-g", "daemon off;"]
    with (folder / "output").open("wb") as output:
        process = spawn(argv, output=output)
    gateway = Gateway(port, names, door_port, log)
    try:
        wait_for_http(f"http://127.0.0.1:{port}/livez", alive=lambda: process.poll() is None)
        yield gateway
    finally:
        for name in list(gateway.doors):
            gateway.close(name)
        names.close()
        process.terminate()
        process.wait(PATIENCE_S)
