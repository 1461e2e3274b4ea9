"""Five roles: what each may do is what docs/roles.md says, and what an attacker would try as one of them is refused."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from infra.servers.access import prepare, role_password, role_url
from infra.servers.postgres import EmbeddedPostgres
from shared_lib.processes import Role
from shared_lib.store.access import MissingRolesError, apply_grants
from shared_lib.store.access.roles import as_role, scram_verifier
from shared_lib.store.bounds import IDLE_IN_TRANSACTION_S, connection_options
from shared_lib.store.migrate import upgrade
from tests.store.row_writer import RowWriter

PAGE = Path(__file__).parents[2] / "docs/roles.md"
WORDS = {"r": "SELECT", "c": "INSERT", "u": "UPDATE", "d": "DELETE"}
LOOKING = [Role.DOOR, Role.RELAY, Role.SUPPORT, Role.OPERATOR]


@contextmanager
def connected(url: str, role: Role) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(role_url(url, role), autocommit=True) as db:
        yield db


def documented() -> dict[tuple[str, str], set[str]]:
    """(table, role) -> what the page's table grants. A column in brackets limits the word before it: `u(attempts)`."""
    ((heading, rows),) = re.findall(r"^\| Table \|(.*)\|\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    roles = [f"boxoffice_{name.strip()}" for name in heading.split("|")]
    found = {}
    for table, cells in re.findall(r"^\| `(\w+)` \|(.*)\|$", rows, re.MULTILINE):
        for role, cell in zip(roles, cells.split("|"), strict=True):
            granted = set()
            for letter, columns in re.findall(r"([rcud])(?:\(([\w, ]+)\))?", cell):
                names = [name.strip() for name in columns.split(",") if name.strip()]
                granted |= {f"{WORDS[letter]} {name}" for name in names} or {WORDS[letter]}
            found[table, role] = granted
    return found


def in_force(db: psycopg.Connection[Any]) -> dict[tuple[str, str], set[str]]:
    """The same from the catalog, for every relation and every role but the owner; PUBLIC among them."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    rows = db.execute(
        """
        WITH relations AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f'))
        SELECT relname, NULL, acl.* FROM relations, aclexplode(coalesce(relacl, acldefault('r', relowner))) AS acl
        UNION ALL
        SELECT relname, attname, acl.* FROM relations JOIN pg_attribute ON attrelid = relations.oid, aclexplode(attacl) AS acl
        """
    ).fetchall()
    names = dict(db.execute("SELECT oid, rolname FROM pg_roles").fetchall()) | {0: "PUBLIC"}
    for table, column, _, grantee, privilege, grantable in rows:
        if names[grantee] == Role.OWNER:
            continue
        assert not grantable
        found[table, names[grantee]].add(f"{privilege} {column}" if column else privilege)
    return found


def test_every_table_role_and_privilege_is_what_the_page_says(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        real = in_force(db)
        tables = {
            row[0]
            for row in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        }
    page = documented()
    assert {table for table, _ in page} == tables, (
        "a new table needs a line in grants.sql and a row in docs/roles.md"
    )
    # Where the test clock may be moved; production's grants are looked at below.
    page["test_clock", "boxoffice_operator"] |= {"INSERT", "UPDATE"}
    assert {key: granted for key, granted in page.items() if granted} == dict(real)


def test_production_grants_nobody_the_test_clock(database_url: str) -> None:
    apply_grants(role_url(database_url, Role.OWNER), test_clock=False)
    with psycopg.connect(database_url, autocommit=True) as db:
        assert {key: set(granted) for key, granted in documented().items() if granted} == dict(in_force(db))


def test_everything_belongs_to_the_owner_who_is_no_superuser(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        owners = db.execute(
            """
            SELECT DISTINCT pg_get_userbyid(owner) FROM (
                SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace
                UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace
                UNION ALL SELECT datdba FROM pg_database WHERE datname = current_database()) AS owned
            """
        ).fetchall()
        powers = db.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND (rolsuper OR rolcreaterole OR rolcreatedb"
            " OR rolreplication OR rolbypassrls OR NOT rolcanlogin)",
            [list(Role)],
        ).fetchall()
        become = db.execute(
            "SELECT 1 FROM pg_auth_members WHERE member IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%s))",
            [list(Role)],
        ).fetchall()
    assert (owners, powers, become) == ([("boxoffice_owner",)], [], [])


def test_a_role_that_was_given_more_by_hand_loses_it_at_the_next_deployment(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("GRANT boxoffice_owner TO boxoffice_support")
        db.execute("ALTER ROLE boxoffice_support CREATEDB BYPASSRLS")
        db.execute("GRANT ALL ON customers TO boxoffice_support")
    prepare(database_url)
    test_everything_belongs_to_the_owner_who_is_no_superuser(database_url)
    test_every_table_role_and_privilege_is_what_the_page_says(database_url)


# --- What an attacker would try with a role's password.

DENIED = errors.InsufficientPrivilege
EVERY_ROLE = [
    "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
    "ALTER TABLE ledger_entries DISABLE TRIGGER ledger_is_append_only",
    "DROP TRIGGER ledger_is_append_only ON ledger_entries",
    "SET session_replication_role = replica",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE OR REPLACE FUNCTION boxoffice_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now()'",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION pg_stat_statements",
    "CREATE EXTENSION plpython3u",
    "CREATE TABLE mine ()",
    "CREATE TEMP TABLE mine ()",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE DATABASE mine",
    "CREATE ROLE mine SUPERUSER",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE RULE mine AS ON INSERT TO ledger_entries DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE POLICY mine ON orders",
    "DROP TABLE ledger_entries",
    "DROP SCHEMA public CASCADE",
    "ALTER TABLE prices DROP COLUMN amount_minor",
    "ALTER TABLE orders OWNER TO CURRENT_USER",
    "CREATE INDEX ON orders (id)",
    "TRUNCATE ledger_entries",
    "TRUNCATE outbox",
    "UPDATE ledger_entries SET amount_minor = 1",
    "DELETE FROM ledger_entries",
    "UPDATE prices SET amount_minor = 1",
    "UPDATE products SET title = 'x'",
    "UPDATE alembic_version SET version_num = '0001'",
    "DELETE FROM orders",
    "DELETE FROM payments",
    "DELETE FROM test_clock",
    "DO 'BEGIN LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE; END'",
    "GRANT boxoffice_owner TO CURRENT_USER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE boxoffice_owner PASSWORD 'mine'",
    "ALTER DEFAULT PRIVILEGES FOR ROLE boxoffice_owner GRANT ALL ON TABLES TO PUBLIC",
    "SET ROLE boxoffice_owner",
    "SET ROLE boxoffice",
    "SET SESSION AUTHORIZATION boxoffice_owner",
    "SET SESSION AUTHORIZATION boxoffice",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY alembic_version FROM PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_reload_conf()",
    "SELECT pg_promote()",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_hba_file_rules",
    "ALTER SYSTEM SET fsync = off",
    "SET log_statement = 'none'",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename NOT LIKE 'boxoffice\\_%'",
]  # fmt: skip
FURTHER = {
    Role.DOOR: [
        "INSERT INTO test_clock VALUES (true, interval '1 year')",
        "INSERT INTO prices SELECT * FROM prices",
        "UPDATE prices SET sellable_until = NULL",
        "INSERT INTO products VALUES ('prd_mine', 'x', now())",
        "DELETE FROM outbox",
        "UPDATE outbox SET data = '{}'",
        "INSERT INTO dead_letters SELECT * FROM dead_letters",
        "DELETE FROM customers",
    ],
    Role.RELAY: [
        "SELECT email FROM customers",
        "SELECT * FROM payments",
        "SELECT * FROM payment_methods",
        "SELECT * FROM orders",
        "SELECT * FROM ledger_entries",
        "SELECT * FROM idempotency_keys",
        "SELECT * FROM dead_letters",
        "INSERT INTO orders (id) VALUES ('ord_mine')",
        "UPDATE orders SET status = 'paid'",
        "INSERT INTO entitlements (id) VALUES ('ent_mine')",
        "INSERT INTO outbox (event_id) VALUES ('evt_mine')",
        "UPDATE outbox SET data = '{}'",
        "UPDATE outbox SET partition_key = 'x'",
        "INSERT INTO test_clock VALUES (true, interval '1 year')",
    ],
    Role.SUPPORT: [
        "SELECT reply FROM idempotency_keys",
        "INSERT INTO dead_letters SELECT * FROM dead_letters",
        "UPDATE dead_letters SET replayed_at = now()",
        "INSERT INTO outbox (event_id) VALUES ('evt_mine')",
        "UPDATE orders SET status = 'paid'",
        "UPDATE customers SET email = 'mine@example.com'",
        "INSERT INTO test_clock VALUES (true, interval '1 year')",
        "SELECT * FROM orders FOR UPDATE",
    ],
    Role.OPERATOR: [
        "SELECT reply FROM idempotency_keys",
        "UPDATE dead_letters SET body = ''",
        "UPDATE orders SET status = 'paid'",
        "UPDATE refunds SET amount_minor = 1",
        "INSERT INTO ledger_entries (source_kind) VALUES ('payment')",
        "UPDATE customers SET email = 'mine@example.com'",
        "DELETE FROM outbox",
    ],
}


@pytest.mark.parametrize("role", LOOKING)
def test_an_attacker_with_the_password_of_a_role_is_refused(
    writer: RowWriter, database_url: str, role: Role
) -> None:
    apply_grants(
        role_url(database_url, Role.OWNER), test_clock=False
    )  # those on the database, which copies lack
    writer.entry()
    before = writer.run(psycopg.sql.SQL("SELECT * FROM ledger_entries"))
    done: list[str] = []
    with connected(database_url, role) as db:
        db.execute("GRANT ALL ON test_clock TO PUBLIC")  # answered by a warning alone
        for attack in [*EVERY_ROLE, *FURTHER[role]]:
            try:
                db.execute(attack.encode())
                done.append(attack)
            except (DENIED, errors.UndefinedFile, errors.FeatureNotSupported, errors.InvalidParameterValue):
                pass
        granted = in_force(db)
    assert done == []
    assert {key: set(words) for key, words in documented().items() if words} == granted
    assert writer.run(psycopg.sql.SQL("SELECT * FROM ledger_entries")) == before


def test_even_the_owner_cannot_leave_the_database(database_url: str) -> None:
    """It may drop its own tables, which is what migrations are; the server and its files stay out of reach."""
    outside = [
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('PG_VERSION')",
        "ALTER SYSTEM SET fsync = off",
        "SET session_replication_role = replica",
        "SELECT * FROM pg_authid",
        "SET ROLE boxoffice",
        "CREATE ROLE mine",
    ]
    with connected(database_url, Role.OWNER) as db:
        for attack in outside:
            with pytest.raises(DENIED):
                db.execute(attack.encode())


# --- Roles and grants as deployments make them.


def test_a_database_from_before_the_roles_is_taken_over_and_stays_usable(
    empty_database_url: str,
) -> None:
    """The superuser made everything, as it used to; the roles come, and the next migration is the owner's."""
    with psycopg.connect(empty_database_url, autocommit=True) as db:
        db.execute("CREATE TABLE old (id bigint GENERATED ALWAYS AS IDENTITY)")
        db.execute("CREATE FUNCTION older() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    for _ in range(2):
        prepare(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as db:
        assert db.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall() == [("boxoffice_owner",)]
    with connected(empty_database_url, Role.OWNER) as db:
        db.execute("DROP TABLE old")
        db.execute("DROP FUNCTION older()")
    with connected(empty_database_url, Role.DOOR) as db:
        assert db.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_without_the_roles_a_migration_says_who_makes_them(own_postgres: EmbeddedPostgres) -> None:
    with pytest.raises(MissingRolesError, match=r"boxoffice_door.*python -m shared_lib\.store\.access"):
        upgrade(own_postgres.start().url())


def test_a_verifier_is_what_postgresql_itself_would_keep(database_url: str) -> None:
    password, parts = secrets.token_hex(16), r"SCRAM-SHA-256\$4096:([\w+/=]+)\$([\w+/=]+):([\w+/=]+)"
    with psycopg.connect(database_url, autocommit=True) as db:
        theirs = db.pgconn.encrypt_password(password.encode(), b"any", b"scram-sha-256").decode()
    ours, other = re.fullmatch(parts, scram_verifier(password)), re.fullmatch(parts, theirs)
    assert ours
    assert other
    assert [len(part) for part in ours.groups()] == [len(part) for part in other.groups()]


def test_passwords_of_roles_tell_nothing_of_each_other() -> None:
    url = "postgresql://admin:s3cret@127.0.0.1:5432/boxoffice"
    passwords = {role_password(url, role) for role in Role}
    assert len(passwords) == len(Role)
    assert not [one for one in passwords if "s3cret" in one]
    assert (
        as_role(url, Role.DOOR, "p@ss/1") == "postgresql://boxoffice_door:p%40ss%2F1@127.0.0.1:5432/boxoffice"
    )
    assert role_url(url, Role.DOOR).startswith(
        f"postgresql://boxoffice_door:{role_password(url, Role.DOOR)}@"
    )


def test_security_says_of_every_table_what_it_keeps_of_a_person_and_how_long(database_url: str) -> None:
    text = (PAGE.parents[1] / "SECURITY.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    named = {name for cell in rows for name in re.findall(r"`(\w+)`", cell)}
    with psycopg.connect(database_url) as db:
        tables = {
            name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }
    assert tables <= named


def test_a_door_behind_a_pooler_waits_no_longer_than_one_before_it(database_url: str) -> None:
    """PgBouncer ignores what a connection asks for at its start, so the bounds of store/bounds.py stand at the role too."""
    names = (
        "lock_timeout",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "transaction_timeout",
    )

    def bounds(url: str, options: str = "") -> dict[str, str]:
        with psycopg.connect(url, options=options) as db:
            rows = db.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(names)])
            return dict(rows.fetchall())

    door = role_url(database_url, Role.DOOR)
    asked_for = connection_options(door, bounded=True)["options"]
    assert bounds(door) == bounds(door, options=asked_for) | {
        "transaction_timeout": str(round(IDLE_IN_TRANSACTION_S * 1000))
    }
    assert (
        bounds(door, options="-c lock_timeout=7s")["lock_timeout"] == "7000"
    )  # the connection's word counts
    for role in set(Role) - {Role.DOOR}:  # a migration, a person's question may last
        assert set(bounds(role_url(database_url, role)).values()) == {"0"}
