"""After each test of this folder the books must balance."""

from __future__ import annotations

import pytest

from tests.kit.invariants import balanced_books

__all__ = ["balanced_books"]


@pytest.fixture(autouse=True)
def _books(balanced_books: None) -> None:
    """Ask for the check in every test."""
