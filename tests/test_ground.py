"""The ground everything else stands on: embedded servers, lock files, the Makefile, the purity of the domain."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from infra.servers.leash import Owner, spawn
from infra.servers.moto import FAKE_CREDENTIAL, REGION, EmbeddedMoto
from infra.servers.ports import wait_until
from infra.servers.postgres import EmbeddedPostgres, running_url
from infra.servers.redis import EmbeddedRedis
from infra.servers.unprivileged import STATE_HOME, reachable_folder, server_owner
from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parent.parent
ROOMS = ("shared_lib", "functions", "infra", "benchmarks")
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 300
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.crash
def test_postgres_keeps_what_was_committed_when_it_is_killed(own_postgres: EmbeddedPostgres) -> None:
    server = own_postgres.start()
    with psycopg.connect(server.url()) as conn:
        assert conn.info.server_version >= 180000
        assert conn.execute("SHOW timezone").fetchone() == ("UTC",)
        conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    server.kill()
    assert not server.running
    server.start()

    with psycopg.connect(server.url()) as conn:
        assert conn.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert "not properly shut down" in server.log_file.read_text()


@pytest.mark.crash
def test_a_second_start_ends_the_orphan_that_holds_the_folder(own_postgres: EmbeddedPostgres) -> None:
    orphan, heir = own_postgres.start(), EmbeddedPostgres(own_postgres.data_dir)
    assert running_url(orphan.data_dir, "postgres") == orphan.url()

    with heir.start():
        assert not orphan.running
        assert heir.pid != orphan.pid
        psycopg.connect(heir.url()).close()
    assert running_url(orphan.data_dir, "postgres") is None


@pytest.mark.crash
def test_a_pid_file_whose_number_now_belongs_to_somebody_else_is_forgotten(
    own_postgres: EmbeddedPostgres,
) -> None:
    own_postgres.start().kill()
    pid_file = own_postgres.data_dir / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split()[0], str(os.getpid()), 1))

    own_postgres.start()

    psycopg.connect(own_postgres.url()).close()


def test_a_folder_out_of_a_servers_reach_is_replaced_by_the_same_one_each_time(tmp_path: Path) -> None:
    stranger = Owner(65534, 65534)
    if os.geteuid() != 0:
        assert reachable_folder(tmp_path / "data", server_owner()) == tmp_path / "data"
        return
    tmp_path.chmod(0o700)

    elsewhere = reachable_folder(tmp_path / "data", stranger)

    assert elsewhere.parent == STATE_HOME
    assert elsewhere == reachable_folder(tmp_path / "data", stranger)
    assert elsewhere != reachable_folder(tmp_path / "other", stranger)


@pytest.mark.crash
@pytest.mark.usefixtures("redis_here")
def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import time\n"
        "from infra.servers.redis import EmbeddedRedis\n"
        "print(EmbeddedRedis().start().pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with (tmp_path / "output").open("w+b") as output:
        parent = spawn([sys.executable, "-c", script], output=output, cwd=ROOT)
        wait_until(lambda: (tmp_path / "output").read_text().endswith("\n"), "redis", timeout_s=PATIENCE_S)
        redis_pid = int((tmp_path / "output").read_text())
        parent.kill()
        parent.wait()

    wait_until(lambda: not _runs(redis_pid), "end of redis", timeout_s=PATIENCE_S)


@pytest.mark.usefixtures("redis_here")
async def test_redis_comes_back_empty_on_the_same_port() -> None:
    with EmbeddedRedis() as server:
        url = server.url()
        async with redis.asyncio.Redis.from_url(url) as client:
            await client.set("seat", "7A")

        server.kill()
        with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
            client.ping()
        server.restart()

        assert server.url() == url
        async with redis.asyncio.Redis.from_url(url) as client:
            assert await client.get("seat") is None


def test_mail_is_refused_until_its_domain_is_verified_and_can_be_read_back(moto: EmbeddedMoto) -> None:
    import boto3  # noqa: PLC0415 - a second of import that no other test here needs

    ses = boto3.client(
        "ses",
        region_name=REGION,
        endpoint_url=moto.url,
        aws_access_key_id=FAKE_CREDENTIAL,
        aws_secret_access_key=FAKE_CREDENTIAL,
    )
    mime = "From: box@cinema.test\nTo: ann@example.test\nSubject: Ticket\n\nRow 7\n"

    def send() -> str:
        reply = ses.send_raw_email(
            Source="box@cinema.test", Destinations=["ann@example.test"], RawMessage={"Data": mime.encode()}
        )
        return str(reply["MessageId"])

    with pytest.raises(ses.exceptions.MessageRejected):
        send()
    moto.verify_domain("cinema.test")
    message_id = send()

    (mail,) = moto.sent()
    assert (mail.message_id, mail.recipients) == (message_id, ("ann@example.test",))
    assert mail.message["Subject"] == "Ticket"
    assert mail.message.get_content() == "Row 7\n"


@pytest.mark.parametrize(
    ("ci", "closing"), [("true", "1 failed"), ("", "1 skipped")], ids=["in-ci", "on-a-laptop"]
)
def test_a_skip_fails_in_continuous_integration_and_says_why(tmp_path: Path, ci: str, closing: str) -> None:
    test = tmp_path / "test_skipped.py"
    test.write_text("import pytest\n\ndef test_it() -> None:\n    pytest.skip('no broker here')\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", ROOT / "pyproject.toml", test],
        cwd=ROOT,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert closing in run.stdout
    assert "no broker here" in run.stdout


def test_each_test_has_an_empty_database(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as conn:
        tables = conn.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == []


@pytest.mark.parametrize(
    ("name", "more_than"),
    [
        ("requirements.lock", 30),
        ("requirements-dev.lock", 30),
        ("tests/clients/requirements.lock", 30),
        ("tests/providers/sdk/requirements.lock", 5),
    ],
)
def test_lock_files_pin_by_hash_and_name_no_registry(name: str, more_than: int) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+ \\$", text, re.MULTILINE)

    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=sha256:)", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) > more_than


def test_the_dev_lock_holds_what_the_runtime_lock_holds() -> None:
    pins = [
        set(re.findall(r"^(\S+==\S+) \\$", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    ]
    assert pins[0] <= pins[1]


def test_bare_make_explains_every_target() -> None:
    declared = set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    printed = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout

    explained = set(re.findall(r"^  (\S+)\s+\S", printed, re.MULTILINE))
    assert declared - explained == {"help"}
    assert explained <= declared
    assert re.findall(r"^(\w+)$", printed, re.MULTILINE) == ["Start", "Look", "Operate", "Check", "Change"]


def test_the_domain_imports_the_standard_library_and_msgspec_alone() -> None:
    strangers = {
        f"{path.name}: {name}"
        for path in (ROOT / "shared_lib" / "domain").rglob("*.py")
        for name in _imports(path)
        if name.split(".")[0] not in {*sys.stdlib_module_names, "msgspec"}
        and not name.startswith("shared_lib.domain")
    }
    assert strangers == set()


def test_a_function_fits_a_screen_and_a_module_fits_a_head() -> None:
    too_long = []
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        text = path.read_text()
        sizes = {path.name: (text.count("\n"), MODULE_LINES_MAX)} | {
            node.name: ((node.end_lineno or 0) - node.lineno + 1, FUNCTION_LINES_MAX)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        too_long += [
            f"{path.relative_to(ROOT)} {name}: {lines} lines"
            for name, (lines, limit) in sizes.items()
            if lines > limit and "versions" not in path.parts
        ]
    assert too_long == [], "a noun is missing (house rule 10)"


def _imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
