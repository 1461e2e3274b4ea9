"""Whatever a provider or the key service answers: a ProviderError, or the keys we had. In bounded time and memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest

from infra.sandbox.launch import new_webhook_secret
from infra.standins.auth_service import SigningKeys
from shared_lib.jwks import Jwks
from shared_lib.providers.base import (
    PaymentSnapshot,
    ProviderError,
    Unavailable,
)
from shared_lib.providers.sandbox import SandboxProvider
from tests.foreign.asked import CHARGE, CHECKOUT, REF, REFUND
from tests.foreign.rude import ANSWERS, Rude, document, gzipped, whole
from tests.kit.key_service import KeyService
from tests.kit.serving import serving

ROOT = Path(__file__).parents[2]
GUARD_S: Final = 60
SINCE: Final = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
async def provider(rude: Rude) -> AsyncIterator[SandboxProvider]:
    client = SandboxProvider(
        base_url=rude.url, api_key="sk_x", webhook_secrets=[new_webhook_secret()], http=httpx.AsyncClient(),
        exchange_s=1.0,
    )  # fmt: skip
    yield client
    await client.aclose()


async def everything(provider: SandboxProvider) -> list[PaymentSnapshot]:
    return [payment async for payment in provider.list_payments(SINCE, SINCE + timedelta(days=1))]


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_cannot_be_read_is_a_provider_error(
    rude: Rude, provider: SandboxProvider, name: str
) -> None:
    rude.answer = ANSWERS[name]()
    async with asyncio.timeout(GUARD_S):
        writes = [provider.create_checkout(CHECKOUT), provider.charge(CHARGE), provider.refund(REFUND)]
        for error in await asyncio.gather(*writes, return_exceptions=True):
            assert isinstance(error, ProviderError), repr(error)
            assert error.may_have_executed, repr(error)
        reads = [
            provider.fetch_payment(REF),
            provider.fetch_refund("ref_1", REF),
            provider.find_payment("pay_1", SINCE),
            provider.find_refund("ref_1", REF),
            everything(provider),
        ]
        for refusal in await asyncio.gather(*reads, return_exceptions=True):
            assert isinstance(refusal, Unavailable), repr(refusal)


PAYMENT: Final = {
    "id": "sbx_1", "status": "pending", "amount_minor": 999, "captured_minor": 0, "refunded_minor": 0,
    "currency": "EUR", "metadata": {"payment_id": "pay_1", "order_id": "ord_1"}, "livemode": False,
    "checkout_url": "https://pay.example/1", "expires_at": "2030-01-01T00:00:00+00:00",
}  # fmt: skip


async def test_what_is_right_is_read_packed_or_not(rude: Rude, provider: SandboxProvider) -> None:
    for answer in (
        whole(document(**PAYMENT)),
        whole(gzipped(document(**PAYMENT)), content_encoding="gzip"),
        whole(gzipped(document(**PAYMENT)), content_encoding=" GZIP"),
    ):
        rude.answer = answer
        said = await provider.create_checkout(CHECKOUT)
        assert (said.ref.provider_payment_id, said.checkout_url) == ("sbx_1", "https://pay.example/1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "x" * 501), ("id", ""), ("id", 7), ("id", ["sbx_1"]),
        ("currency", "eur" * 1000), ("currency", {}),
        ("amount_minor", 10**18), ("amount_minor", -1), ("amount_minor", True), ("amount_minor", 9.99),
        ("captured_minor", 2**63 - 1),
        ("expires_at", "9999-12-31T23:59:59-14:00"), ("expires_at", "0001-01-01T00:00:00+14:00"),
        ("expires_at", "2030-01-01T00:00:00"), ("expires_at", 10**18),
        ("status", []), ("checkout_url", 7), ("checkout_url", "https://" + "a" * 5000),
        ("created_at", "x" * 100_000),
    ],
)  # fmt: skip
async def test_a_field_that_is_not_as_promised_is_a_provider_error(
    rude: Rude, provider: SandboxProvider, field: str, value: object
) -> None:
    rude.answer = whole(document(**(PAYMENT | {field: value})))
    with pytest.raises(ProviderError) as written:
        await provider.create_checkout(CHECKOUT)
    assert written.value.may_have_executed
    with pytest.raises(Unavailable):
        await provider.fetch_payment(REF)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "x" * 10_000},
        {"code": ["a"]},
        {"param": ["return_url"]},
        {"param": {"a": 1}},
        {"type": []},
        "no",
        [],
        7,
    ],
)
async def test_an_error_of_any_shape_is_a_provider_error(
    rude: Rude, provider: SandboxProvider, error: object
) -> None:
    rude.answer = whole(document(error=error), "400 Bad Request", request_id="r" * 5000, retry_after="9" * 50)
    with pytest.raises(ProviderError) as refused:
        await provider.charge(CHARGE)
    assert len(str(refused.value)) < 300
    assert len(refused.value.request_id or "") <= 128


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "http://pay.example/1", "//pay.example", "data:text/html,x", "https://", "ftp://pay.example",
     "https://ann:pw@pay.example", "https://pay.example/\\..", "https://pay.example/ x", "https://pay.example/\u00e9",
     "https://pay.example:x/", "http://localhost.evil.example/", "HTTPS//pay.example", 'https://pay.example/"onclick'],
)  # fmt: skip
async def test_a_link_that_no_customer_should_follow_is_refused(
    rude: Rude, provider: SandboxProvider, link: str
) -> None:
    rude.answer = whole(document(**(PAYMENT | {"checkout_url": link})))
    with pytest.raises(ProviderError, match="checkout_link_refused") as refused:
        await provider.create_checkout(CHECKOUT)
    assert (refused.value.may_have_executed, refused.value.pages) == (True, True)
    assert (await provider.fetch_payment(REF)).checkout_url is None  # the payment is news all the same


async def test_a_list_whose_pages_do_not_end_is_given_up(rude: Rude, provider: SandboxProvider) -> None:
    rude.answer = whole(document(data=[PAYMENT], next_cursor="again"))
    async with asyncio.timeout(GUARD_S):
        with pytest.raises(Unavailable, match="endless_list"):
            await everything(provider)


@pytest.mark.parametrize("name", ANSWERS)
async def test_whatever_the_key_service_answers_the_known_keys_serve(
    rude: Rude, name: str, tmp_path: Path
) -> None:
    service = KeyService(SigningKeys.open(tmp_path))
    now = datetime.now(UTC)
    async with serving(service) as url, httpx.AsyncClient() as http, asyncio.timeout(GUARD_S):
        own = Jwks(http, url + "/.well-known/jwks.json", now=lambda: now, timeout_s=GUARD_S)
        await own.refresh()
        kid = next(iter(own._keys))
        own._url, own._timeout_s = rude.url, 1.0
        rude.answer = ANSWERS[name]()
        now += timedelta(hours=2)
        assert await own.key(kid) is not None
        assert await own.key("another") is None


CHILD: Final = """
import asyncio, re, resource, sys, httpx
from shared_lib.fetching import fetch
from shared_lib.untrusted import UntrustedError, json_of

def status(name):  # not getrusage: that remembers the process it was forked from
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

def peak():
    return status("VmHWM")

async def main():
    before = peak()
    most = status("VmSize") + (512 << 20)  # a failure ends here and takes no memory from other processes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    async with httpx.AsyncClient() as http:
        try:
            answer = await fetch(http, "GET", sys.argv[1], bytes_max=1 << 20, within_s=20)
            json_of(answer.body or b"")
        except (UntrustedError, TimeoutError, httpx.HTTPError):
            pass
    print(peak() - before)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "name",
    ["a bomb", "a bomb in deflate", "a body without end", "a gzip without end", "two megabytes", "too many items",
     "brackets without end", "objects without end"],
)  # fmt: skip
async def test_an_answer_costs_little_memory(rude: Rude, name: str) -> None:
    rude.answer = ANSWERS[name]()
    argv = [sys.executable, "-c", CHILD, rude.url]
    done = await asyncio.to_thread(
        subprocess.run,
        argv,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40 << 20
