"""Two hundred requests with one Idempotency-Key: one order, one call of the provider, one set of bytes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager

import httpx
import pytest

from infra.servers.ports import free_port
from infra.servers.redis import EmbeddedRedis
from shared_lib.domain.errors import Code
from tests.kit.cinema import RETURN_URL, Cinema
from tests.kit.cinema_fixtures import OpenCinema
from tests.kit.crash_points import watch
from tests.kit.instance import second_instance
from tests.kit.recovery import provider_payments, single
from tests.kit.waiting import PATIENCE_S

FILM = {"price_id": "prc_metropolis_buy", "return_url": RETURN_URL}
OTHER_FILM = {**FILM, "price_id": "prc_stalker_buy"}
KEY = "the-one-key"
REQUESTS = 200
MODES = ("works", "stopped", "flushed", "dies", "hangs")


class Trouble:
    """A Redis of this test's own, and what happens to it while the requests are under way."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._server = EmbeddedRedis()
        self._hanging: asyncio.Server | None = None

    async def start(self, stack: AsyncExitStack) -> str:
        if self.mode == "stopped":
            return f"redis://127.0.0.1:{free_port()}/0"
        if self.mode == "hangs":
            self._hanging = await asyncio.start_server(_never_answers, "127.0.0.1", 0)
            stack.push_async_callback(self._close, self._hanging)
            return f"redis://127.0.0.1:{self._hanging.sockets[0].getsockname()[1]}/0"
        stack.enter_context(self._server)
        return self._server.url()

    async def strike(self) -> None:
        """In the middle: everything Redis knew is gone, or Redis itself is."""
        await asyncio.sleep(0.15)
        if self.mode == "flushed":
            self._server.kill()
            self._server.start()
        elif self.mode == "dies":
            self._server.kill()

    @staticmethod
    async def _close(server: asyncio.Server) -> None:
        server.close()


async def _never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        pass
    writer.close()


@pytest.fixture(params=MODES)
def trouble(request: pytest.FixtureRequest) -> Trouble:
    return Trouble(request.param)


@pytest.fixture
async def troubled(redis_here: None, trouble: Trouble, open_cinema: OpenCinema) -> AsyncIterator[Cinema]:
    async with AsyncExitStack() as stack:
        redis_url = await trouble.start(stack)
        # However busy the machine is, the provider has time to answer.
        opened = await stack.enter_async_context(open_cinema(redis_url=redis_url, provider_answer_s=20.0))
        opened.http = await stack.enter_async_context(
            httpx.AsyncClient(timeout=PATIENCE_S, limits=httpx.Limits(max_connections=REQUESTS))
        )
        yield opened


async def same_request(cinema: Cinema, times: int) -> list[httpx.Response]:
    same = {"authorization": f"Bearer {cinema.token()}"}

    async def call() -> httpx.Response:
        """A door waits for another process's lock for a few seconds, and then asks its caller to come again."""
        async with asyncio.timeout(PATIENCE_S):
            while (
                answer := await cinema.call("POST", "/v1/orders", FILM, key=KEY, headers=same)
            ).is_server_error:
                assert (answer.status_code, answer.json()["code"]) == (503, Code.UNAVAILABLE), answer.text
                await asyncio.sleep(float(answer.headers["retry-after"]))
        return answer

    return await asyncio.gather(*(call() for _ in range(times)))


def assert_one_set_of_bytes(answers: list[httpx.Response]) -> bytes:
    """One answer, the identical replay of it, or "being worked on". Returns the bytes."""
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}, statuses
    done = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in done}) == 1
    first = [answer for answer in done if "idempotent-replayed" not in answer.headers]
    assert len(first) == 1
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {Code.KEY_IN_FLIGHT}
    return done[0].content


@contextmanager
def counted_calls(cinema: Cinema) -> Iterator[Counter[str]]:
    calls: Counter[str] = Counter()

    async def count(boundary: str) -> None:
        calls[boundary] += 1

    watch(cinema.rt, count)
    yield calls


async def test_two_hundred_at_once_make_one_order_one_call_and_one_set_of_bytes(
    troubled: Cinema, trouble: Trouble
) -> None:
    # The provider takes its time, so that many find the first one at work.
    await troubled.control("/control/faults", {"kind": "slow", "operation": "checkout.create", "ms": 400})
    with counted_calls(troubled) as calls:
        answers, _ = await asyncio.gather(same_request(troubled, REQUESTS), trouble.strike())
        body = assert_one_set_of_bytes(answers)
        replays = await same_request(troubled, 20)
    assert {(a.status_code, a.content, a.headers["idempotent-replayed"]) for a in replays} == {
        (201, body, "true")
    }
    assert calls["create_checkout:before"] == 1
    order_id = single(troubled, "SELECT id FROM orders")
    assert len(await provider_payments(troubled, order_id)) == 1
    other = await troubled.call("POST", "/v1/orders", OTHER_FILM, key=KEY)
    assert (other.status_code, other.json()["code"]) == (422, Code.KEY_REUSED), other.text
    assert single(troubled, "SELECT count(*) FROM payments") == 1


async def test_one_key_for_two_different_requests_at_once_makes_one_of_them(cinema: Cinema) -> None:
    bodies = [FILM, OTHER_FILM] * 20
    answers = await asyncio.gather(*(cinema.call("POST", "/v1/orders", body, key=KEY) for body in bodies))
    assert {answer.status_code for answer in answers} <= {201, 409, 422}
    product = single(cinema, "SELECT price_id FROM orders")
    for body, answer in zip(bodies, answers, strict=True):
        wrong = body["price_id"] != product
        assert (answer.status_code == 422) == wrong, answer.text


@pytest.mark.parametrize("trouble", [Trouble("works"), Trouble("stopped")], ids=["redis", "no redis"])
async def test_two_processes_race_with_one_key(troubled: Cinema, trouble: Trouble) -> None:
    await troubled.control("/control/faults", {"kind": "slow", "operation": "checkout.create", "ms": 300})
    async with second_instance(troubled) as other:
        halves = await asyncio.gather(*(same_request(one, REQUESTS // 2) for one in (troubled, other.cinema)))
        body = assert_one_set_of_bytes([*halves[0], *halves[1]])
        for one in (troubled, other.cinema):
            (replay,) = await same_request(one, 1)
            assert (replay.status_code, replay.content) == (201, body)
    assert len(await provider_payments(troubled)) == 1
    assert single(troubled, "SELECT count(*) FROM orders") == 1


async def test_one_key_belongs_to_one_customer(cinema: Cinema) -> None:
    customers = [f"customer-{n}" for n in range(20)]
    answers = await asyncio.gather(
        *(cinema.call("POST", "/v1/orders", FILM, key=KEY, customer=customer) for customer in customers)
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == len(customers)
