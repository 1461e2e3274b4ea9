"""docs/scaling.md says which promise holds on tables that are partitioned by customer. Each line is tried on a real server."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
LINE = re.compile(r"^\| `(\w+)` \| `(\w+)` \| ([^|]+) \|", re.MULTILINE)
AS_IT_IS, IN_FRONT, ON_EACH, NOT = (
    "as it is",
    "customer in front",
    "on each partition",
    "not by customer",
)
# Unique indexes, with their definitions, and the constraint behind those that exclude.
PROMISES = """
    SELECT i.relname, t.relname, pg_get_indexdef(i.oid),
           (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conindid = i.oid AND contype = 'x')
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    WHERE t.relnamespace = 'public'::regnamespace AND (x.indisunique OR x.indisexclusion)
      AND t.relname <> 'alembic_version'
"""


def test_the_page_has_a_line_for_every_promise(database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        promises = {(index, table) for index, table, *_ in db.execute(PROMISES).fetchall()}
    lines = LINE.findall(PAGE.read_text())
    assert {(index, table) for index, table, _ in lines} == promises
    assert len(lines) == len(promises)
    assert {how for *_, how in lines} == {AS_IT_IS, IN_FRONT, ON_EACH, NOT}


def test_each_promise_holds_on_partitions_as_the_page_says(database_url: str) -> None:
    said = {index: how for index, _, how in LINE.findall(PAGE.read_text())}
    with psycopg.connect(database_url, autocommit=True) as db:
        promises = db.execute(PROMISES).fetchall()
        for table in {table for index, table, *_ in promises if said[index] != NOT}:
            partition(db, table)
        found = {index: tried(db, table, *rest) for index, table, *rest in promises if said[index] != NOT}
    assert found == {index: how for index, how in said.items() if how != NOT}


def test_a_partition_of_the_ledger_needs_a_trigger_of_its_own_against_truncate(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        partition(db, "ledger_entries")
        for name, on in (("whole", "by_customer_ledger_entries"), ("part", "part_ledger_entries")):
            db.execute(
                f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {on} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()".encode()
            )
            if name == "whole":
                db.execute("TRUNCATE part_ledger_entries")  # the trigger of the whole does not see it
        with pytest.raises(errors.RestrictViolation):
            db.execute("TRUNCATE part_ledger_entries")


def partition(db: psycopg.Connection, table: str) -> None:
    """An empty twin of the table, partitioned by a hash of the customer, with one partition."""
    key = "id" if table == "customers" else "customer_id"
    columns = {name for (name,) in db.execute(COLUMNS, [table]).fetchall()}
    new = "" if key in columns else ', customer_id text COLLATE "C" NOT NULL'
    db.execute(
        f"CREATE TABLE by_customer_{table} (LIKE {table} INCLUDING DEFAULTS{new}) PARTITION BY HASH ({key})".encode()
    )
    db.execute(
        f"CREATE TABLE part_{table} PARTITION OF by_customer_{table} FOR VALUES WITH (modulus 1, remainder 0)".encode()
    )


COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = %s"


def tried(db: psycopg.Connection, table: str, index: str, exclusion: str | None) -> str:
    """How the server takes the promise: the first way that it accepts."""
    if exclusion:
        ways = {
            AS_IT_IS: f"ALTER TABLE by_customer_{table} ADD {exclusion}",
            ON_EACH: f"ALTER TABLE part_{table} ADD {exclusion}",
        }
    else:
        columns = index.partition(" USING ")[2]
        whole = f"CREATE UNIQUE INDEX ON by_customer_{table} USING {columns}"
        ways = {AS_IT_IS: whole, IN_FRONT: whole.replace("btree (", "btree (customer_id, ", 1)}
    for way, statement in ways.items():
        try:
            db.execute(statement.encode())
        except errors.FeatureNotSupported:
            continue
        return way
    return NOT
