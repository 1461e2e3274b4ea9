"""The local gateway: what it leads to, what it keeps away from the doors, and what it answers itself."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.servers.leash import spawn
from infra.servers.ports import free_port, wait_for_http
from infra.standins.gateway import AFTER_PAYMENT_PAGES
from shared_lib.contract.routes import AFTER_PAYMENT
from tests.kit.raw_http import exchange
from tests.kit.waiting import PATIENCE_S


class Echo(BaseHTTPRequestHandler):
    """A door that tells what reached it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        told = {
            "path": self.path,
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "bytes": len(body),
        }
        answer = json.dumps(told).encode()
        self.send_response(201)
        self.send_header("location", "/v1/orders/ord_1")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.do_POST()

    def do_OPTIONS(self) -> None:
        self.do_POST()

    def do_HEAD(self) -> None:
        self.send_response(201)
        self.send_header("content-length", "17")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def gateway() -> Iterator[int]:
    """Its port. Behind it create_order and account echo, and no process listens at webhook's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here, port = f"http://127.0.0.1:{server.server_port}", free_port()
        doors = {"create_order": here, "account": here, "webhook": f"http://127.0.0.1:{free_port()}"}
        argv = [
            sys.executable,
            "-m",
            "infra.standins.gateway",
            "--port",
            str(port),
            "--doors",
            json.dumps(doors),
        ]
        process = spawn(argv, output=subprocess.DEVNULL, env=os.environ, cwd=Path(__file__).parents[2])
        wait_for_http(f"http://127.0.0.1:{port}/livez", alive=lambda: process.poll() is None)
        yield port
        process.terminate()
        process.wait(PATIENCE_S)
        server.shutdown()


def ask(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], dict[str, object]]:
    """Status, headers, JSON; the path goes out as it stands here."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, json.loads(answer.read())
    connection.close()
    return found


def test_a_call_reaches_its_door_with_query_body_and_a_request_id(gateway: int) -> None:
    status, headers, told = ask(gateway, "POST", "/v1/orders?wait=2", b"{}", {"X-Request-Id": "abcdefgh1"})
    assert (status, headers["location"], headers["x-request-id"]) == (201, "/v1/orders/ord_1", "abcdefgh1")
    assert (told["path"], told["bytes"]) == ("/v1/orders?wait=2", 2)


@pytest.mark.parametrize(
    "path",
    [
        "/events",
        "/v1/orders/../../events",
        "/v1/orders/%2e%2e/%2e%2e/events",
        "/v1/orders/..%2f..%2fevents",
        "//events",
        "/readyz",
        "/_/health",
        "/_/ready",
        "/v1/_/health",
        "/v1",
        "/v2/orders",
    ],
)
def test_nothing_leads_to_where_events_are_taken(gateway: int, path: str) -> None:
    status, headers, told = ask(gateway, "POST", path, b"{}")
    assert (status, told["code"]) == (404, "not_found")
    assert headers["x-request-id"]


def test_nobody_outside_can_pass_a_call_off_as_an_event(gateway: int) -> None:
    sent = {
        "ce-type": "billing.tick.renewal",
        "Ce-Id": "evt_1",
        "Authorization": "Bearer x",
        "X-Forwarded-For": "8.8.8.8",
    }
    _, _, told = ask(gateway, "GET", "/v1/orders/ord_1", headers=sent)
    headers = told["headers"]
    assert isinstance(headers, dict)
    assert not [name for name in headers if name.startswith("ce-")]
    assert (headers["authorization"], headers["x-forwarded-for"]) == ("Bearer x", "127.0.0.1")


def test_a_body_ends_at_64_kib(gateway: int) -> None:
    assert ask(gateway, "POST", "/v1/orders", b" " * 65536)[0] == 201
    status, _, told = ask(gateway, "POST", "/v1/orders", b" " * 65537)
    assert (status, told["code"]) == (413, "body_too_large")


def test_a_door_that_is_not_there_is_503_with_a_time_to_come_back(gateway: int) -> None:
    status, headers, told = ask(gateway, "POST", "/v1/webhooks/sandbox", b"{}")
    assert (status, headers["retry-after"], told["code"]) == (503, "1", "unavailable")
    assert headers["access-control-allow-origin"] == "*"  # a script may read why
    assert "Retry-After" in headers["access-control-expose-headers"]


def test_who_paid_by_a_mail_comes_back_to_a_page(gateway: int) -> None:
    for wanted, language in (("en-US,ru", "en"), ("ru-RU,en", "ru")):
        head = f"GET {AFTER_PAYMENT}?order_id=ord_1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        status, headers, body = exchange(gateway, f"{head}Accept-Language: {wanted}\r\n\r\n".encode())
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert body.decode() == AFTER_PAYMENT_PAGES[language]


def test_a_preflight_reaches_a_door_which_says_who_may_call(gateway: int) -> None:
    sent = {"Origin": "http://frontend.test", "Access-Control-Request-Method": "POST"}
    status, headers, told = ask(gateway, "OPTIONS", "/v1/orders", headers=sent)
    assert (status, told["path"]) == (201, "/v1/orders")
    seen = told["headers"]
    assert isinstance(seen, dict)
    assert (seen["origin"], seen["access-control-request-method"]) == ("http://frontend.test", "POST")
    assert "access-control-allow-origin" not in headers


def test_any_byte_of_a_header_passes_and_none_makes_an_error(gateway: int) -> None:
    head = b"GET /v1/orders?q=%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    odd = [
        b"X-OdD-CaSe: 1",
        b"x-empty:",
        b"x-twice: 1",
        b"X-Twice: 2",
        b"accept-language: \xff\xfe",
        b"cE-Type: billing.x",
    ]
    values = [bytes([byte]) for byte in range(0x21, 0x100) if byte != 0x7F]
    for first in range(0, len(values), 50):  # the door here is Python's own, and takes a hundred headers
        some = dict(enumerate(values[first : first + 50]))
        lines = [*odd, *(b"x-%d: a%sb" % (n, value) for n, value in some.items())]
        status, headers, body = exchange(gateway, head + b"\r\n".join(lines) + b"\r\n\r\n")
        assert (status, headers["location"]) == (201, "/v1/orders/ord_1"), body
        told = json.loads(body)
        seen = told["headers"]
        assert not [name for name in seen if name.startswith("ce-")]
        assert [n for n, value in some.items() if seen[f"x-{n}"].encode("latin-1") != b"a%sb" % value] == []
        assert (seen["x-odd-case"], told["path"]) == ("1", "/v1/orders?q=%ff")


def test_a_header_that_is_none_is_the_callers_error(gateway: int) -> None:
    for line in (b"x a: b", b"x(a): b", b": b", b"x-a: a\x00b", b"content-length: \xb2"):
        request = b"GET /v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + line + b"\r\n\r\n"
        status, _, _ = exchange(gateway, request)
        assert status in (201, 400), line


def test_head_passes_as_get_does(gateway: int) -> None:
    status, headers, _ = exchange(
        gateway, b"HEAD /v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert (status, headers["content-length"]) == (201, "17")


def test_an_address_has_an_end_here_too(gateway: int) -> None:
    status, _, told = ask(gateway, "GET", "/v1/orders?" + "a" * 5000)
    assert (status, told["code"]) == (414, "url_too_long")
