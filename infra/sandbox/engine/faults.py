"""Scripted faults for the next calls of an operation, before or after it is executed."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from infra.sandbox.engine.database import Tx, many, one


class Kind(StrEnum):
    # Not executed.
    TIMEOUT_BEFORE = "timeout_before"  # hang for `seconds`, then drop the connection
    ERROR_BEFORE = "error_before"  # 500, not kept under the key
    DROP_BEFORE = "drop_before"  # close the connection without an answer
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After of `retry_after_s`
    # Executed.
    SLOW = "slow"  # answer `ms` later; the key is in use until then
    TIMEOUT_AFTER = "timeout_after"  # execute, hang for `seconds`, drop
    ERROR_AFTER = "error_after"  # execute, answer 500; `kept` says whether the key replays the 500
    DROP_AFTER = "drop_after"  # execute, close the connection
    GARBLED = "garbled"  # execute, answer 200 with a body that is not JSON
    TAMPERED = "tampered"  # execute, answer with the fields of `set` replaced


class Fault(BaseModel):
    """One script, for the next `times` calls that match."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: Kind
    operation: str = "*"  # glob: "charge.create", "checkout.*"
    metadata: dict[str, str] = {}  # every pair must stand in the body's metadata
    times: Annotated[int, Field(ge=1)] = 1
    seconds: float = 30.0
    ms: int = 0
    retry_after_s: int = 1
    kept: bool = True
    replaced: Annotated[dict[str, Any], Field(alias="set")] = {}

    def applies_to(self, operation: str, metadata: Mapping[str, object]) -> bool:
        if not fnmatch.fnmatchcase(operation, self.operation):
            return False
        return all(metadata.get(name) == value for name, value in self.metadata.items())


def script(tx: Tx, fault: Fault) -> int:
    """Returns the id of the script."""
    spec = fault.model_dump_json(by_alias=True)
    row = one(tx, "INSERT INTO faults (spec, remaining) VALUES (?, ?) RETURNING seq", spec, fault.times)
    assert row is not None
    return int(row["seq"])


def use_next(tx: Tx, operation: str, metadata: Mapping[str, object]) -> Fault | None:
    """The oldest script that applies to this call, with one of its uses taken."""
    for row in many(tx, "SELECT * FROM faults WHERE remaining > 0 ORDER BY seq"):
        fault = Fault.model_validate_json(row["spec"])
        if fault.applies_to(operation, metadata):
            tx.execute("UPDATE faults SET remaining = remaining - 1 WHERE seq = ?", (row["seq"],))
            return fault
    return None


def waiting(tx: Tx) -> list[dict[str, Any]]:
    rows = many(tx, "SELECT * FROM faults WHERE remaining > 0 ORDER BY seq")
    return [{"id": row["seq"], "remaining": row["remaining"], **json.loads(row["spec"])} for row in rows]


def clear(tx: Tx) -> None:
    tx.execute("DELETE FROM faults")
