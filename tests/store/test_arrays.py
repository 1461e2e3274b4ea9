"""Array literals are read back by PostgreSQL as what was written."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_lib.domain.order import OrderStatus
from shared_lib.store.bulk import array_literal

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
