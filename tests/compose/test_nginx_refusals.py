"""What NGINX refuses without asking a door: always problem+json with the correct 4xx or 5xx status."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared_lib.contract.problems import PROBLEMS
from tests.compose.nginx import NGINX_CONF, Gateway, nginx_binary, running_nginx
from tests.kit.raw_http import exchange

END = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "NUL in the path": (b"GET /%00" + END + b"\r\n", 400, "request_malformed"),
    "NUL as it is": (b"GET /\x00" + END + b"\r\n", 400, "request_malformed"),
    "above the root": (b"GET /../.." + END + b"\r\n", 400, "request_malformed"),
    "above the root, whole address": (b"GET http://x/../etc" + END + b"\r\n", 400, "request_malformed"),
    "not an escape": (b"GET /%zz" + END + b"\r\n", 400, "request_malformed"),
    "half an escape": (b"GET /v1/orders/%4" + END + b"\r\n", 400, "request_malformed"),
    "a space in the path": (b"GET /v1/a b" + END + b"\r\n", 400, "request_malformed"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400, "request_malformed"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "request_malformed"),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400, "request_malformed"),
    "HTTP/1.0 to nowhere": (b"GET /v1/zzz HTTP/1.0\r\n\r\n", 404, "not_found"),
    "HTTP/0.9": (b"GET /v1/zzz\r\n", 0, "not_found"),
    "a method in small letters": (b"get /v1/orders" + END + b"\r\n", 400, "request_malformed"),
    "TRACE": (b"TRACE /v1/orders" + END + b"\r\n", 405, "method_not_allowed"),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 400, "request_malformed"),
    "OPTIONS of everything": (b"OPTIONS *" + END + b"\r\n", 400, "request_malformed"),
    "no Host": (b"GET /v1/orders HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "request_malformed"),
    "two Hosts": (b"GET /v1/orders" + END + b"Host: y\r\n\r\n", 400, "request_malformed"),
    "a Host that is none": (b"GET / HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n", 400, "request_malformed"),
    "two Authorizations": (
        b"GET /v1/orders" + END + b"Authorization: Bearer a.b.c\r\nAuthorization: Bearer d.e.f\r\n\r\n",
        400,
        "request_malformed",
    ),
    "NUL in a header": (b"GET /v1/orders" + END + b"X-A: a\x00b\r\n\r\n", 400, "request_malformed"),
    "a header with a space": (b"GET /v1/orders" + END + b"X A: b\r\n\r\n", 400, "request_malformed"),
    "a length that is none": (b"POST /v1/orders" + END + b"Content-Length: x\r\n\r\n", 400, "request_malformed"),
    "two lengths": (
        b"POST /v1/orders" + END + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        400,
        "request_malformed",
    ),
    "a length and chunks": (
        b"POST /v1/orders" + END + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "request_malformed",
    ),
    "chunks that are none": (
        b"POST /v1/orders" + END + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
        "request_malformed",
    ),
    "an encoding that NGINX lacks": (
        b"POST /v1/orders" + END + b"Transfer-Encoding: gzip\r\n\r\n",
        400,
        "request_malformed",
    ),
    "a condition": (b"GET /livez" + END + b'If-Match: "x"\r\n\r\n', 400, "request_malformed"),
    "too long a body": (b"POST /v1/orders" + END + b"Content-Length: 65537\r\n\r\n", 413, "body_too_large"),
    "an endless body to nowhere": (b"POST /zzz" + END + b"Content-Length: 999999999999\r\n\r\n", 413, "body_too_large"),
    "a long path": (b"GET /v1/orders/" + b"a" * 4090 + END + b"\r\n", 414, "url_too_long"),
    "a long query": (b"GET /v1/catalog?" + b"a" * 4090 + END + b"\r\n", 414, "url_too_long"),
    "a path longer than NGINX reads": (b"GET /v1/" + b"a" * 30_000 + END + b"\r\n", 414, "url_too_long"),
    "a long header": (b"GET /v1/orders" + END + b"X-A: " + b"a" * 30_000 + b"\r\n\r\n", 431, "headers_too_large"),
    "many headers": (
        b"GET /v1/orders" + END + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(30)) + b"\r\n",
        431,
        "headers_too_large",
    ),
}  # fmt: skip
# Every status NGINX itself may answer with in this configuration (ngx_http_request.h), 494 being its 431.
ITS_OWN = {400, 403, 404, 405, 408, 411, 412, 413, 414, 416, 421, 429, 494, 500, 501, 502, 503, 504, 505, 507}


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if nginx_binary() is None:
        pytest.skip("no nginx here: apt-get install nginx-light")
    with running_nginx(tmp_path_factory.mktemp("nginx")) as gateway:
        yield gateway


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_in_the_doors_own_form(nginx: Gateway, what: str) -> None:
    request, status, code = REFUSED[what]
    said, headers, body = exchange(nginx.port, request)
    assert (said, body["code"]) == (status, code)
    assert body["type"] == f"urn:boxoffice:problem:{code}"
    assert body["request_id"]
    if status:
        assert body["status"] == status
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-request-id"] == body["request_id"]
        assert headers["cache-control"] == "no-store"
    if status == 405:
        assert headers["allow"] == "GET, HEAD, POST, PATCH, DELETE"


def test_every_status_that_nginx_may_answer_with_has_a_page_and_every_page_says_what_the_doors_say() -> None:
    text = NGINX_CONF.read_text()
    led: dict[int, int] = {}
    for codes, other, page in re.findall(r"error_page ([\d ]+?)(?: =(\d+))? /problem/(\d+);", text):
        led |= {int(code): int(page) for code in codes.split()}
        assert other in ("", page)
    assert ITS_OWN - led.keys() == set()
    pages = dict(re.findall(r"location = /problem/(\d+) \{\s+internal;\s+default_type application/problem\+json;\s+"
                            r"return \1 '(\{[^\n]*\})';\s+\}", text))  # fmt: skip
    assert set(map(int, pages)) == set(led.values())
    titles = {str(code): (one.status, one.title) for code, one in PROBLEMS.items()}
    for status, document in pages.items():
        body = json.loads(document)
        assert body["status"] == int(status)
        assert {"type", "title", "detail", "request_id"} <= body.keys()
        if body["code"] in titles:
            documented, title = titles[body["code"]]
            assert body["title"] == title
            assert body["code"] == "unavailable" or documented == int(status)


def test_its_pages_cannot_be_asked_for(nginx: Gateway) -> None:
    for page in ("/problem/500", "/problem/429", "/problem/", "/problem"):
        told = nginx.ask("GET", page)
        assert (told.status, told.body["code"]) == (404, "not_found")


def test_no_log_of_a_refusal_holds_the_query(nginx: Gateway, tmp_path: Path) -> None:
    nginx.ask("GET", "/v1/zzz?token=s3cr3t-in-a-query")
    exchange(nginx.port, b"GET /v1/orders?token=s3cr3t-in-a-query&" + b"a" * 5000 + END + b"\r\n")
    lines = [json.loads(line) for line in nginx.log.read_text().splitlines()]
    assert {"/v1/zzz", "/v1/orders"} <= {line["path"] for line in lines}
    assert "s3cr3t" not in nginx.log.read_text()
