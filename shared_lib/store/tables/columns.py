"""The words the tables are written in."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, DateTime, Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field


def text(*, key: bool = False, null: bool = False, to: str | None = None, default: str | None = None) -> Any:
    """Text in byte order: ids sort by time and compare without a locale."""
    extra: dict[str, Any] = {"foreign_key": to, "ondelete": "RESTRICT"} if to else {}
    return Field(
        default=None,
        sa_type=Text(collation="C"),
        primary_key=key,
        nullable=null,
        sa_column_kwargs={"server_default": default} if default is not None else {},
        **extra,
    )


def instant(*, null: bool = False) -> Any:
    return Field(default=None, sa_type=DateTime(timezone=True), nullable=null)


def minor(*, null: bool = False, default: str | None = None) -> Any:
    """Money in minor units; its currency stands in the same row."""
    kwargs = {"server_default": default} if default is not None else {}
    return Field(default=None, sa_type=BigInteger, nullable=null, sa_column_kwargs=kwargs)


def number(*, null: bool = False, default: str | None = None) -> Any:
    kwargs = {"server_default": default} if default is not None else {}
    return Field(default=None, sa_type=Integer, nullable=null, sa_column_kwargs=kwargs)


def flag(*, default: str) -> Any:
    return Field(default=None, sa_type=Boolean, nullable=False, sa_column_kwargs={"server_default": default})


def document(*, null: bool = False) -> Any:
    return Field(default=None, sa_type=JSONB, nullable=null)


def octets(*, null: bool = False) -> Any:
    return Field(default=None, sa_type=LargeBinary, nullable=null)


def one_of(table: str, column: str, values: type[StrEnum]) -> CheckConstraint:
    """The column holds a status of the enum; a test holds the list against the state machine."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=f"{table}_{column}_known")


def among(statuses: frozenset[Any]) -> str:
    """SQL for `status IN (...)`, sorted so that the text never changes by itself."""
    return "status IN (" + ", ".join(f"'{status}'" for status in sorted(statuses)) + ")"
