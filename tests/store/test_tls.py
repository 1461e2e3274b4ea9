"""PostgreSQL with TLS, as SECURITY.md describes it: `sslmode=verify-full` opens only to the right server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.servers.access import role_url
from shared_lib.domain.errors import Transient
from shared_lib.processes import Role
from shared_lib.queries.health import serves
from shared_lib.runtime import Runtime
from shared_lib.settings import Settings
from shared_lib.store.migrate import differences, upgrade
from tests.store.tls_front import TlsFront


class Authority(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def pem(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path


def _builder(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def authority(name: str = "An authority") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key).issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def server_pair(signer: Authority, folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate of `host`, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
    builder = _builder("postgres", key).issuer_name(signer.certificate.subject)
    certificate = builder.add_extension(names, critical=False).sign(signer.key, hashes.SHA256())
    cert_file, key_file = folder / "server.crt", folder / "server.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key_file.chmod(0o600)
    return cert_file, key_file


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
