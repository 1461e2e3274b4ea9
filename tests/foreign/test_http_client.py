"""What a provider's server may do to a connection: a request is sent once, and what is unknown is never taken for an answer."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import FrameType
from typing import Final

import httpx
import pytest

from infra.sandbox.launch import new_webhook_secret
from infra.servers.ports import free_port
from shared_lib.fetching import fetch
from shared_lib.http_client.transport import AiohttpTransport
from shared_lib.providers.base import ProviderError, Unavailable
from shared_lib.providers.sandbox import SandboxProvider
from shared_lib.providers.transport import Bearer, Transport
from tests.foreign.asked import CHARGE, CHECKOUT, METHOD, REF
from tests.foreign.rude import ANSWERS, Rude, document
from tests.foreign.scripted import GUARD_S, PAYMENT, Heard, Script, Scripted, answered, silent, well

PATIENT: Final = httpx.Timeout(GUARD_S)


def provider_at(url: str, *, exchange_s: float = GUARD_S) -> SandboxProvider:
    return SandboxProvider(
        base_url=url, api_key="sk_x", webhook_secrets=[new_webhook_secret()], http=AiohttpTransport(),
        timeout=PATIENT, exchange_s=exchange_s,
    )  # fmt: skip


@pytest.fixture
async def provider(server: Scripted) -> AsyncIterator[SandboxProvider]:
    client = provider_at(server.url)
    yield client
    await client.aclose()


# ---- answers that are none ---------------------------------------------------------------------------------


def said(what: bytes, end: Callable[[Heard], None] = Heard.close) -> Script:
    async def script(heard: Heard) -> None:
        await heard.say(what)
        end(heard)

    return script


CHUNKED: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
FAULTS: Final[dict[str, Script]] = {
    "closed before the head": said(b""),
    "reset before the head": said(b"", Heard.reset),
    "closed in the head": said(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "closed in the body": said(answered()[:-5]),
    "reset in the body": said(answered()[:-5], Heard.reset),
    "a chunk that is none": said(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunks without an end": said(CHUNKED + b"2\r\n{}\r\n"),
    "a chunk that is longer than it says": said(CHUNKED + b"2\r\n{}{}{}\r\n0\r\n\r\n"),
    "a header of 1 MB": said(answered(b"{}", "x: " + "a" * (1 << 20))),
    "ten thousand headers": said(answered(b"{}", *(f"x{n}: a" for n in range(10_000)))),
    "a header with a NUL": said(answered(document(**PAYMENT), "x: a\0b")),
    "an interim answer and no other": said(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "another protocol": said(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    ),
    "two lengths": said(answered(document(**PAYMENT), "content-length: 1")),
    "another version": said(b"HTTP/3.7 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_answer_leaves_a_write_unknown_and_a_read_unanswered(
    server: Scripted, provider: SandboxProvider, name: str
) -> None:
    server.script = FAULTS[name]
    with pytest.raises(ProviderError) as written:
        await provider.create_checkout(CHECKOUT)
    assert written.value.may_have_executed
    with pytest.raises(Unavailable):
        await provider.fetch_payment(REF)
    assert len(server.heard) == 2
    server.script = well
    assert (await provider.create_checkout(CHECKOUT)).ref == REF
    assert server.connections == 3


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_of_any_content_are_provider_errors_over_this_client_too(rude: Rude, name: str) -> None:
    rude.answer = ANSWERS[name]()
    provider = provider_at(rude.url, exchange_s=1.0)
    with pytest.raises(ProviderError) as written:
        await provider.charge(CHARGE)
    assert written.value.may_have_executed
    with pytest.raises(Unavailable):
        await provider.fetch_payment(REF)
    await provider.aclose()


# ---- answers that are unusual ------------------------------------------------------------------------------


WHOLE: Final = document(**PAYMENT)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answered(), True),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + answered(), True),
        (CHUNKED + b"%x;a=b\r\n%b\r\n0\r\nx: trailer\r\n\r\n" % (len(WHOLE), WHOLE), True),
        (b"HTTP/1.0 200 OK\r\n\r\n" + WHOLE, False),
        (b"HTTP/1.1 200\r\nconnection: close\r\n\r\n" + WHOLE, False),
    ],
)
async def test_an_unusual_answer_is_read(
    server: Scripted, provider: SandboxProvider, answer: bytes, kept: bool
) -> None:
    server.script = said(answer, (lambda _: None) if kept else Heard.close)
    for _ in range(2):
        assert (await provider.create_checkout(CHECKOUT)).ref == REF
    assert (len(server.heard), server.connections) == (2, 1 if kept else 2)


async def test_a_header_in_another_encoding_can_be_encoded_again(
    server: Scripted, provider: SandboxProvider
) -> None:
    """It is logged, and kept with the payment."""
    server.script = said(b"HTTP/1.1 400 Bad Request\r\nrequest-id: r\xff1\r\ncontent-length: 0\r\n\r\n")
    with pytest.raises(ProviderError) as refused:
        await provider.charge(CHARGE)
    assert ascii(refused.value.request_id) == r"'r\xff1'"


async def test_an_answer_in_pieces_is_read(server: Scripted, provider: SandboxProvider) -> None:
    async def drip(heard: Heard) -> None:
        for byte in answered():
            await heard.say(bytes([byte]))
            await asyncio.sleep(0)

    server.script = drip
    assert (await provider.create_checkout(CHECKOUT)).ref == REF


async def test_a_redirect_is_not_followed_and_cookies_are_not_kept(server: Scripted) -> None:
    provider = provider_at(
        server.url.replace("127.0.0.1", "localhost")
    )  # no client keeps cookies of an IP address
    cookies = [f"set-cookie: c{n}=v; Path=/" for n in range(100)]
    redirect = answered(b"", f"location: {server.url}/x", *cookies, status="307 Temporary Redirect")
    server.script = said(redirect, lambda _: None)
    with pytest.raises(ProviderError):
        await provider.charge(CHARGE)
    server.script = well
    await provider.charge(CHARGE)
    await provider.aclose()
    assert [heard.head.split()[1] for heard in server.heard] == ["/v1/charges"] * 2
    assert "cookie" not in server.heard[1].head


# ---- kept connections --------------------------------------------------------------------------------------


async def test_a_connection_serves_one_request_after_the_other(
    server: Scripted, provider: SandboxProvider
) -> None:
    for _ in range(5):
        await provider.charge(CHARGE)
    assert (len(server.heard), server.connections) == (5, 1)
    await asyncio.gather(*(provider.charge(CHARGE) for _ in range(20)))
    opened = server.connections
    await asyncio.gather(*(provider.charge(CHARGE) for _ in range(20)))
    assert server.connections == opened


async def test_a_connection_that_has_ended_is_not_used_although_the_loop_has_not_seen_it_yet(
    server: Scripted, provider: SandboxProvider
) -> None:
    for n in range(1, 4):
        await provider.charge(CHARGE)
        assert server.connections == n
        server.heard[-1].end()  # the next line sends a request before the loop looks at any socket


Call = Callable[[SandboxProvider], Awaitable[object]]
CALLS: Final[dict[str, Call]] = {
    "POST": lambda provider: provider.charge(CHARGE),
    "GET": lambda provider: provider.fetch_payment(REF),
    "DELETE": lambda provider: provider.forget_method(METHOD),
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("end", [Heard.close, Heard.reset])
async def test_a_kept_connection_that_ends_with_a_request_gets_that_request_once(
    server: Scripted, provider: SandboxProvider, method: str, end: Callable[[Heard], None]
) -> None:
    """aiohttp would repeat GET and DELETE: what the server did with the first is not known."""

    async def script(heard: Heard) -> None:
        await heard.say(answered()) if heard.n == 1 else end(heard)

    server.script = script
    await provider.charge(CHARGE)
    with pytest.raises(ProviderError) as failed:
        await CALLS[method](provider)
    assert failed.value.may_have_executed == (method != "GET")
    await asyncio.sleep(0.05)
    assert len(server.heard) == 2
    assert server.heard[1].head.startswith(method.lower())


async def test_an_answer_to_no_request_is_not_taken_for_the_next_one(
    server: Scripted, provider: SandboxProvider
) -> None:
    stray = answered(document(**PAYMENT | {"id": "sbx_another"}))

    async def at_once(heard: Heard) -> None:
        await heard.say(answered() + stray)

    async def later(heard: Heard) -> None:
        await heard.say(answered())
        await asyncio.sleep(0.05)
        await heard.say(stray)

    for script in (at_once, later):
        server.script = script
        assert (await provider.charge(CHARGE)).ref == REF
        await asyncio.sleep(0.2)
        server.script = well
        assert (await provider.charge(CHARGE)).ref == REF


# ---- what never left ---------------------------------------------------------------------------------------


async def test_no_connection_is_known_not_to_have_executed() -> None:
    provider = provider_at(f"http://127.0.0.1:{free_port()}")
    for call in CALLS.values():
        with pytest.raises(Unavailable, match="not_reached"):
            await call(provider)
    await provider.aclose()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "no-address", "http://no-such-host.invalid"])
async def test_an_address_of_no_server_is_known_not_to_have_executed(url: str) -> None:
    provider = provider_at(url)
    with pytest.raises(Unavailable, match="not_reached"):
        await provider.charge(CHARGE)
    await provider.aclose()


async def test_a_header_that_would_end_the_head_is_not_sent(server: Scripted) -> None:
    http = AiohttpTransport()
    wire = Transport("sandbox", server.url, http, Bearer("sk_x"), PATIENT)
    for key in ("a\r\nx: y", "a\nx: y", "a\rx", "a\0"):
        with pytest.raises(ProviderError):
            await wire.write("POST", "/v1/charges", {}, key)
    await http.aclose()
    assert server.heard == []


# ---- the key -----------------------------------------------------------------------------------------------


def frames_of(error: BaseException | None) -> Iterator[FrameType]:
    """Ours, of an error and of what led to it."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/shared_lib/" in frame.f_code.co_filename:
                yield frame
        error = error.__cause__ or error.__context__


TROUBLE: Final[dict[str, tuple[Script, dict[str, str]]]] = {
    "no answer": (silent, {}),
    "half an answer": (said(answered()[:-5]), {}),
    "a header that is none": (well, {"x": "a\r\nb"}),
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_a_traceback_with_local_variables_does_not_show_the_key(server: Scripted, name: str) -> None:
    server.script, headers = TROUBLE[name]
    http, limits = AiohttpTransport(), httpx.Timeout(GUARD_S, read=0.2)
    with pytest.raises(httpx.TransportError) as failed:
        await fetch(
            http, "POST", server.url,
            bytes_max=1000, within_s=GUARD_S, timeout=limits, headers=headers, auth=Bearer("sk_x1"),
        )  # fmt: skip
    await http.aclose()
    frames = list(frames_of(failed.value))
    assert "fetch" in {frame.f_code.co_name for frame in frames}
    assert "sk_x1" not in repr([frame.f_locals for frame in frames])
