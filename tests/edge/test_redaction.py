"""What a log line may hold, whatever callers, providers and exceptions put into it."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import uuid
from collections.abc import Iterator
from contextlib import redirect_stderr
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import BaseModel, SecretStr

from shared_lib import log as logs
from shared_lib.redaction import (
    DEPTH_MAX,
    READ_CHARS_MAX,
    SHOWN_CHARS_MAX,
    VALUE_CHARS_MAX,
    harmless,
    redacted,
)

PEM = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEA7s3cr3t\n-----END RSA PRIVATE KEY-----"
# What is written, and the part of it that must not be read.
SECRETS: dict[str, tuple[str, str]] = {
    "PostgreSQL": ("connecting to postgresql://boxoffice:hunter2@db:5432/x", "hunter2"),
    "PostgreSQL, a password with signs": ("postgresql://u:p@ss:w/rd?@h/db", "w/rd"),
    "Redis without a user": ("redis://:s3cr3tpw@redis:6379/0", "s3cr3tpw"),
    "conninfo": ("host=db user=u password=s3cr3tpw dbname=x", "s3cr3tpw"),
    "conninfo, quoted": ("host=db password='s3cr3t pw' dbname=x", "pw"),
    "query": ("GET /thanks?token=s3cr3tpw&x=1", "s3cr3tpw"),
    "query, access_token": ("/x?access_token=abcdef12345", "abcdef12345"),
    "form": ("client_id=a&client_secret=EHs3cr3tpw", "EHs3cr3tpw"),
    "JSON": ('{"api_key": "s3cr3tpw", "a": 1}', "s3cr3tpw"),
    "repr": ("{'password': 's3cr3tpw'}", "s3cr3tpw"),
    "bearer": ("authorization failed: bearer abcdef.ghijkl", "abcdef"),
    "Bearer, spaces": ("Bearer \t abcdef", "abcdef"),
    "basic": ("Basic " + base64.b64encode(b"shop:s3cr3tpw").decode(), "c2hvcDpz"),
    "authorization header": ("Authorization: Custom s3cr3tpw more", "more"),
    "cookie": ("Cookie: session=abcdef; theme=dark", "abcdef"),
    "set-cookie": ("set-cookie: sid=abcdef; HttpOnly", "abcdef"),
    "JWT": ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    "JWT, two parts": ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ", "eyJzdWIi"),
    "JWE": ("eyJhbGciOiJSU0EifQ.a2V5.aXY.dGV4dA.dGFn", "dGFn"),
    "JWT in a word": ("xeyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
    "Stripe": ("sk_live_51Habcdef", "51Habcdef"),
    "Stripe, restricted": ("key rk_live_51Habcdef", "51Habcdef"),
    "Stripe, publishable": ("pk_live_51Habcdef", "51Habcdef"),
    "webhook secret": ("whsec_Ym94b2ZmaWNl", "Ym94b2ZmaWNl"),
    "YooKassa": ("live_Fh8hUAVVBGUGbjmlzba6TB0iyUbos_lueTHE-axOwM0", "Fh8hUAVV"),
    "YooKassa, test": ("test_Fh8hUAVVBGUGbjmlzba6TB0iyUbos_lueTHE-axOwM0", "Fh8hUAVV"),
    "PayPal token": ("A21AAFEpH4PsADK7qSS7pSRsgzfENtu-Q1ysgEDVDESseMHBYXVJYE8ovjj68elIDy8nF26AwPhfXTIeWAZHSLIsQkSYz9ifg", "DVDESs"),
    "PayPal secret": ("E" + "Lk3_s-" * 13 + "x", "Lk3_s-"),
    "Braintree": ("access_token$production$s3cr3t$abcdef0123456789", "abcdef0123"),
    "AWS key id": ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    "AWS secret": ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
    "private key": (f"cannot read {PEM}", "MIIEpAIBAAKCAQEA7s3cr3t"),
    "private key, cut off": (PEM[:90], "MIIE"),
    "pydantic's quotation": ("database_url\n  bad [type=x, input_value='hunter2 pw', input_type=str]", "hunter2"),
    "card": ("card 4242 4242 4242 4242", "4242"),
    "card with dashes": ("4242-4242-4242-4242", "4242"),
    "card after other digits": ("order 12 4242 4242 4242 4242", "4242"),
    "card in a name": ("pan_4242424242424242", "4242"),
    "card in a word": ("x4242424242424242x", "4242"),
    "card with dashes in a word": ("x4242-4242-4242-4242x", "4242"),
    "card with spaces in a word": ("x4242 4242 4242 4242x", "4242"),
    "card of 19 digits": ("6304000000000000000", "6304"),
    "Amex": ("3782 822463 10005", "822463"),
}  # fmt: skip
HARMLESS = (
    "/v1/orders/ord_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Basic subscription, monthly",
    "prc_basic_month",
    "2026-11-28T15:49:55.123456Z",
    "disk_usage is high",
    "GET https://cinema.example/thanks?order_id=ord_1",
    "The order was paid; see the receipt.",
)


TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


class Line:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    def __call__(self, event: str = "request", **fields: Any) -> str:
        structlog.get_logger("test").info(event, **fields)
        return self.last()

    def last(self) -> str:
        return self.stream.getvalue().splitlines()[-1]


@pytest.fixture(params=[False, True], ids=["json", "terminal"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    before, written = structlog.get_config(), Line()
    with redirect_stderr(written.stream):
        logs.configure(function="test", pretty=request.param)
        structlog.configure(cache_logger_on_first_use=False)
        yield written
    structlog.configure(**before)


@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_is_hidden_wherever_it_stands(line: Line, what: str) -> None:
    text, secret = SECRETS[what]
    for fields in ({"error": text}, {"event": text}, {"a": {"b": [text]}}, {"a": {text: 1}}, {"raw": text.encode()},
                   {"error": ValueError(text)}, {"many": {text}}, {"padded": "x " * 5_000 + text}):  # fmt: skip
        shown = TIMESTAMP.sub("", line(**fields))  # microseconds may hold the digits of a secret
        assert secret not in shown, shown


def test_the_value_of_a_secret_name_is_hidden_whatever_it_is(line: Line) -> None:
    for name in ("Authorization", "set-cookie", "X-Api-Key", "aws_secret_access_key", "privateKey", "db_password",
                 "passphrase", "client_secret", "refreshToken", "credentials", "cardNumber", "cvc", "pan"):  # fmt: skip
        assert "plain" not in line(**{name: "plain words"})
        assert "plain" not in line(headers={name: "plain words"})


def test_what_is_no_secret_is_shown_as_it_is() -> None:
    assert [text for text in HARMLESS if redacted(text) != text] == []
    assert redacted({"n": 12, "at": None, "ok": True, "ms": 1.5}) == {
        "n": 12,
        "at": None,
        "ok": True,
        "ms": 1.5,
    }
    assert redacted(4242424242424242) == "[hidden]"
    assert redacted(1234567890123) == 1234567890123


@pytest.mark.parametrize(
    "id_",
    [
        "0a123456-7890-1234-5678-90bcdef01234",  # 15 and 16 characters between letters, dashes among them
        "f1234567-8901-23ab-8f00-0123456789ab",
        "abcdef01-2345-6789-0123-4fbcdef01234",
        "ab1 2345678901234c",
    ],
)
def test_an_id_of_digits_and_dashes_between_letters_is_logged_as_it_is(id_: str) -> None:
    assert redacted(id_) == id_


def test_every_uuid_can_be_logged() -> None:
    """The id of a customer stands in every line of their requests: one that cannot be logged would fail all of them."""
    digits = random.Random(7)
    for _ in range(20_000):
        shape = "".join(digits.choice("0123456789012345678901234567890123456789abcdef") for _ in range(32))
        redacted(str(uuid.UUID(shape)))


PIECES = [text for text, _ in SECRETS.values()] + [
    *HARMLESS,
    "4242 42",
    "42-4242 ",
    "4242 4",
    "key",
    "|",
    "\u00e9",
    "\u0664" * 7,
    "\x1b",
]


@settings(deadline=None)
@given(some.lists(some.lists(some.sampled_from(PIECES), max_size=3).map("".join), max_size=4))
def test_a_line_that_is_written_unchanged_has_nothing_to_hide_in_any_value(texts: list[str]) -> None:
    line = {f"field_{n}": text for n, text in enumerate(texts)}
    if harmless(line):
        assert {name: redacted(text) for name, text in line.items()} == line


def test_only_a_line_without_anything_suspicious_is_written_unchanged() -> None:
    usual = {"function": "create_order", "trace": None, "actor": "cus_1", "scope": "billing:customer", "ms": 28.3, "status": 201,
             "order": "ord_01ARZ3NDEKTSV4RRFFQ69G5FAV", "path": "/v1/orders", "replayed": True}  # fmt: skip
    assert harmless(usual)
    for text, _ in SECRETS.values():
        assert not harmless(usual | {"error": text})
    for value in (
        4242424242424242,
        -(10**12),
        10**100_000,
        {"a": 1},
        ["a"],
        b"a",
        ValueError("a"),
        "\x1b",
        "x" * 80,
    ):
        assert not harmless(usual | {"value": value})
    assert not harmless(usual | {"password": "plain words"})


def test_a_model_and_a_locals_secret_do_not_come_with_an_exception(line: Line) -> None:
    class Sent(BaseModel):
        api_key: str
        holder: SecretStr

    def fails(password: str) -> None:
        sent = Sent(api_key=password, holder=SecretStr(password))
        structlog.get_logger("test").info("sending", sent=sent)
        raise RuntimeError(f"cannot log in with password={password}")

    secret = f"local-{uuid.uuid4().hex}"  # not a literal: a traceback quotes the source
    try:
        fails(secret)
    except RuntimeError:
        structlog.get_logger("test").exception("crashed")
    shown = line.stream.getvalue()
    assert "Traceback" in shown
    assert "cannot log in" in shown
    assert secret not in shown


def test_a_line_has_an_end_whatever_it_is_given(line: Line) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    wide = {f"k{n}": n for n in range(100_000)}
    bushy = {f"k{n}": ["x" * 5_000] * 20 for n in range(100)}
    deep: Any = "x"
    for _ in range(DEPTH_MAX * 200):
        deep = [deep]
    for value in (
        "x" * 10_000_000,
        b"x" * 10_000_000,
        endless,
        wide,
        bushy,
        list(range(10_000)),
        deep,
        10**100_000,
    ):
        shown = line(value=value)
        assert len(shown) < 2 * VALUE_CHARS_MAX
    assert len(redacted("x" * 20_000)) < SHOWN_CHARS_MAX + 100
    assert redacted("a" * READ_CHARS_MAX + "tail").count("left out") == 1
    long = redacted("begin " + "x" * 20_000 + " end")
    assert long.startswith("begin ")
    assert long.endswith(" end")


def test_no_line_moves_the_cursor_or_the_reader(line: Line) -> None:
    nasty = "a\x1b]0;owned\x07b\x9b31mc\u202ed\u2066e\u2028f\x7fg\ud800h\r"
    for fields in (
        {"reason": nasty},
        {"event": nasty},
        {"a": {nasty: [nasty]}},
        {"error": ValueError(nasty)},
    ):
        shown = line(**fields)
        for char in "\x07\x9b\u202e\u2066\u2028\x7f\r":
            assert char not in shown
        assert "\x1b]" not in shown


def test_json_lines_stay_json() -> None:
    text = json.dumps(redacted({"a\x1b": ["\x00", {"b": b"\xff\x00"}]}))
    assert json.loads(text) == {"a\\x1b": ["\\x00", {"b": "\\xff\\x00"}]}
