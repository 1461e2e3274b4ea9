"""`boxoffice ask ID`: ask the provider about one payment or refund now, whatever the schedule.

The reconcile door does it, under its own role and with the provider's key: no operator's role writes payments.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from shared_lib.cli.terminal import (
    CannotError,
    Connection,
    Output,
    connected,
    moment,
    note,
    repair_by,
    waiting_for,
)
from shared_lib.contract.events import Tick
from shared_lib.runtime import Runtime
from shared_lib.settings import settings
from shared_lib.workers.clock import tick

_TABLE: Final = {"pay": ("payments", "decline_reason"), "ref": ("refunds", "failure_reason")}


def ask(id_: str, *, by: str | None = None, because: str | None = None) -> Output:
    """Ask, and say what changed. Status 1 when the provider was not asked or did not answer."""
    prefix = id_.partition("_")[0]
    if prefix not in _TABLE:
        raise CannotError(
            f"{id_!r} is no payment and no refund: pay_... or ref_...; `boxoffice explain` names them."
        )
    with connected() as db:
        before = _row(db, id_)
        note(db, repair_by(by, "ask", because), id_)
    with waiting_for("the provider"):
        taken = asyncio.run(_tick(id_))
    if not taken:
        raise CannotError(
            f"No door took it: does reconcile run and answer, and does BOXOFFICE_EVENT_ROUTES name {Tick.RECONCILE}?"
        )
    with connected() as db:
        after = _row(db, id_)
    return _told(id_, before, after)


def _told(id_: str, before: dict[str, Any], after: dict[str, Any]) -> Output:
    now, was = after["status"], before["status"]
    why = f" ({after['why']})" if after["why"] else ""
    failure = f" ({after['failure']})" if after["failed_at"] != before["failed_at"] else ""
    asked = after["fence"] > before["fence"]
    silent = now in ("sending", "unknown")
    if now != was:
        says = f"{id_}: {was} -> {now}{why}"
    elif asked and silent:
        says = f"{id_}: the provider did not answer{failure}; still {now}, asked again {moment(after['next_check_at'])}"
    elif asked:
        says = f"{id_}: the provider says the same: {now}{why}"
    elif after["next_check_at"]:
        says = f"{id_}: not asked, another process asks just now or its provider is not configured; {now}"
    else:
        says = f"{id_}: is over, {now}{why}; the provider said nothing that changes it"
    well = now != was or (asked and not silent) or (not asked and after["next_check_at"] is None)
    return Output([says], {"id": id_, "before": was, "after": now, "why": after["why"], "asked": asked,
                           "next_check_at": after["next_check_at"], "failure": after["failure"]}, well)  # fmt: skip


def _row(db: Connection, id_: str) -> dict[str, Any]:
    name, why = _TABLE[id_.partition("_")[0]]
    row = db.execute(
        f"SELECT status, fence, {why}, next_check_at, last_failure, last_failure_at FROM {name} WHERE id = %s".encode(),
        [id_],
    ).fetchone()
    if row is None:
        raise CannotError(f"There is no {id_}.")
    return dict(zip(("status", "fence", "why", "next_check_at", "failure", "failed_at"), row, strict=True))


async def _tick(id_: str) -> bool:
    rt = await Runtime.open(settings())
    try:
        return Tick.RECONCILE in rt.settings.event_routes and await tick(rt, Tick.RECONCILE, subject=id_)
    finally:
        await rt.aclose()
