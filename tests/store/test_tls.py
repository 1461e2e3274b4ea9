"""PostgreSQL with TLS, as SECURITY.md describes it: `sslmode=verify-full` opens only to the right server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from infra.servers.access import role_url
from shared_lib.domain.errors import Transient
from shared_lib.processes import Role
from shared_lib.queries.health import serves
from shared_lib.runtime import Runtime
from shared_lib.settings import Settings
from shared_lib.store.migrate import differences, upgrade
from tests.kit.tls import Authority, authority, server_pair
from tests.store.tls_front import TlsFront


@pytest.fixture
def signer() -> Authority:
    return authority()


@pytest.fixture
def front(database_url: str, signer: Authority, tmp_path: Path) -> Iterator[Callable[[str], TlsFront]]:
    """A maker of servers with TLS, each with a certificate of a given address; all of them are this test's database."""
    opened: list[TlsFront] = []

    def make(host: str) -> TlsFront:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*server_pair(signer, tmp_path, host))
        opened.append(TlsFront(database_url, context))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def verified(url: str, root: Path) -> str:
    return f"{url}?sslmode=verify-full&sslrootcert={root}"


def uses_tls(url: str) -> bool:
    with psycopg.connect(url) as db:
        return bool(db.pgconn.ssl_in_use)


async def is_ready(url: str) -> bool:
    """What a door asks before it is ready."""
    rt = await Runtime.open(Settings(database_url=url, sandbox_url="http://127.0.0.1:9"))
    try:
        return await rt.read(serves, None)
    finally:
        await rt.aclose()


async def test_doors_and_migrations_speak_tls_to_the_server_they_verified(
    front: Callable[[str], TlsFront], signer: Authority, tmp_path: Path
) -> None:
    server, root = front("127.0.0.1"), signer.pem(tmp_path / "root.crt")
    owner, door = (verified(role_url(server.url, role), root) for role in (Role.OWNER, Role.DOOR))
    await asyncio.to_thread(upgrade, owner)
    assert await asyncio.to_thread(differences, owner) == []
    before = server.encrypted
    assert before > 0
    assert await is_ready(door)
    assert server.encrypted > before


async def test_a_door_speaks_to_no_server_of_another_authority_or_another_name(
    front: Callable[[str], TlsFront], signer: Authority, tmp_path: Path
) -> None:
    server, elsewhere, root = front("127.0.0.1"), front("192.0.2.1"), signer.pem(tmp_path / "root.crt")
    stranger = authority().pem(tmp_path / "stranger.crt")
    wrong = (
        verified(role_url(server.url, Role.DOOR), stranger),
        verified(role_url(elsewhere.url, Role.DOOR), root),
        role_url(server.url, Role.DOOR) + "?sslmode=disable",
    )
    for url in wrong:
        with pytest.raises(psycopg.OperationalError):
            await asyncio.to_thread(uses_tls, url)
        with pytest.raises(Transient):
            await is_ready(url)
    assert await asyncio.to_thread(uses_tls, verified(role_url(server.url, Role.DOOR), root))
