"""Arrays are read back by PostgreSQL as what was written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from shared_lib.domain.order import OrderStatus
from shared_lib.store.bulk import Instants, Table, array_literal
from shared_lib.store.transaction import transaction

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NASTY = [
    "",
    "NULL",
    "null",
    "{}",
    "a,b",
    'say "so"',
    "back\\slash",
    "\\",
    '\\"',
    " edge ",
    "tab\tline\n",
    "'",
    "é€𝄞",
]


@pytest.mark.parametrize("values", [NASTY, [*NASTY, None], [None], [None, None], ["one"]])
def test_texts_come_back_as_they_went(database_url: str, values: list[str | None]) -> None:
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT %s::text[]", [array_literal(values)]).fetchone()
    assert row == (values,)


def test_numbers_truths_and_statuses_come_back_as_they_went(database_url: str) -> None:
    numbers, truths, statuses = [0, -1, 2**40], [True, False, None], [OrderStatus.PAID, OrderStatus.PENDING]
    with psycopg.connect(database_url) as db:
        row = db.execute(
            "SELECT %s::bigint[], %s::boolean[], %s::text[]",
            [array_literal(numbers), array_literal(truths), array_literal(statuses)],
        ).fetchone()
    assert row == (numbers, truths, ["paid", "pending"])


@pytest.mark.parametrize("values", [["a\0b"], ["a\0b", "c"], ["a\0b", None]])
def test_a_nul_is_refused_and_never_splits_a_value(database_url: str, values: list[str | None]) -> None:
    with psycopg.connect(database_url) as db, pytest.raises((ValueError, psycopg.DataError)):
        db.execute("SELECT %s::text[]", [array_literal(values)])


@pytest.mark.parametrize("empty", [[], [None], [None, None]])
def test_instants_come_back_as_they_went(database_url: str, empty: list[None]) -> None:
    first, last = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    abroad = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    instants = [first, *empty, last, abroad, last]
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT %b::timestamptz[]", [Instants(instants)]).fetchone()
    assert row == (instants,)


def test_an_instant_without_a_zone_is_refused(database_url: str) -> None:
    naive = datetime(2026, 3, 1)  # noqa: DTZ001  # it is what is refused
    with psycopg.connect(database_url) as db, pytest.raises(TypeError):
        db.execute("SELECT %b::timestamptz[]", [Instants([naive])])


@pytest.mark.parametrize("texts", [NASTY, ["one"], ["\x1e", "a\x1eb"]])
async def test_documents_come_back_as_they_went(database_url: str, texts: list[str]) -> None:
    """Also with the character that separates them."""
    table = Table("documents", {"n": "integer", "document": "jsonb"}, key=("n",))
    rows = [(n, to_json({text: [text]}).decode()) for n, text in enumerate(texts)]
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db:
        await db.execute("CREATE TEMP TABLE documents (n integer, document jsonb)")
        async with transaction(db) as tx:
            table.insert(tx, rows)
        cursor = await db.execute("SELECT document FROM documents ORDER BY n")
        assert await cursor.fetchall() == [({text: [text]},) for text in texts]


@given(st.lists(TEXT | st.none(), min_size=1, max_size=6))
def test_a_literal_has_as_many_places_as_values(values: list[str | None]) -> None:
    literal, places, inside, skip = array_literal(values), 1, False, False
    for character in literal[1:-1]:
        if skip:
            skip = False
        elif character == "\\":
            skip = True
        elif character == '"':
            inside = not inside
        elif character == "," and not inside:
            places += 1
    assert places == len(values)
    assert not inside
