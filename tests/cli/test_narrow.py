"""Tables on a terminal that is too narrow for them: each row takes several lines, and no column is cut or squeezed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from shared_lib.cli.terminal import FOLDED_MIN, table

HEADERS = ("at (UTC)", "what", "id", "says")
WORDS = "until then the customer may ask; after it an operator does: POST /v1/refunds"
ROWS = [
    ("2026-11-29 01:52:59", "payment 1 by sandbox", "pay_01M8JG2T8NDRJJV9BQMJPPW4NY", "by ann"),
    ("2026-11-29 01:53:59", "--- now ---", "", ""),
    ("2026-12-13 01:55:03", "own refund ends", "ord_01M8JG2T8G47S043TA20ZTRY44", WORDS),
]


def lines(width: int, headers: tuple[str, ...] = HEADERS, rows: object = ROWS) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(table(headers, rows))  # type: ignore[arg-type]  # rows of any kind
    return [line.rstrip() for line in capture.get().splitlines()]


def test_where_there_is_room_a_row_is_a_line() -> None:
    assert len(lines(200)) == 1 + len(ROWS)
    assert lines(200)[1].endswith("pay_01M8JG2T8NDRJJV9BQMJPPW4NY  by ann")


def test_at_80_columns_what_does_not_fit_is_on_a_line_of_its_own() -> None:
    assert lines(80) == [
        "at (UTC)             what                  id",
        "    says",
        "2026-11-29 01:52:59  payment 1 by sandbox  pay_01M8JG2T8NDRJJV9BQMJPPW4NY",
        "    by ann",
        "2026-11-29 01:53:59  --- now ---",
        "2026-12-13 01:55:03  own refund ends       ord_01M8JG2T8G47S043TA20ZTRY44",
        f"    {WORDS}",
    ]


def test_a_last_column_is_folded_between_words_when_enough_of_it_is_left() -> None:
    taken = sum(max(map(len, column)) + 2 for column in list(zip(*ROWS, strict=True))[:3])
    assert len(lines(taken + FOLDED_MIN)) > 1 + len(ROWS)
    assert not any(line.startswith("    ") and line.strip() == "says" for line in lines(taken + FOLDED_MIN))


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100])
def test_nothing_is_wider_than_the_terminal_and_no_word_is_lost(width: int) -> None:
    shown = lines(width)
    assert max(map(len, shown)) <= width
    joined = "".join("".join(shown).split())
    assert all("".join(cell.split()) in joined for cell in ROWS[0])


def test_a_table_without_rows_is_its_header() -> None:
    assert lines(80, ("price", "product"), []) == ["price  product"]
