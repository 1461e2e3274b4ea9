"""Work on many rows where one bad row stops no other: it is set aside with an alarm, and tried again later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import structlog

from shared_lib.billing.case import Undecidable
from shared_lib.domain.messages import Due, SetAside, SetAsideKind
from shared_lib.phases.undecided import set_aside, take_back
from shared_lib.runtime import Runtime
from shared_lib.store.batch import Failed
from shared_lib.store.transaction import Transaction

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_REASON_CHARS_MAX = 200

log = structlog.get_logger("boxoffice")


class Round:
    """One round over rows of one kind: `run` each phase, then `done`."""

    def __init__(self, rt: Runtime, kind: SetAsideKind) -> None:
        self._rt = rt
        self._kind = kind
        self._left_out: set[str] = set()  # not decided in this round

    async def run(
        self,
        phase: Callable[[Transaction, Sequence[Item]], Awaitable[Sequence[Answer | Undecidable]]],
        items: Sequence[Item],
        id_of: Callable[[Item], str],
    ) -> list[Answer]:
        """Run the phase, and return the answers of the items it could decide. Items that cannot be decided are set aside."""
        decided: list[Answer] = []
        culprits: list[SetAside] = []
        for item, answer in zip(items, await self._rt.run_each(phase, items), strict=True):
            match answer:
                case Failed() if answer.may_pass:
                    self._left_out.add(id_of(item))  # it stays due
                case Failed():
                    culprits.append(SetAside(kind=self._kind, id=id_of(item), reason=reason_of(answer.error)))
                case Undecidable(reason=reason):
                    culprits.append(SetAside(kind=self._kind, id=id_of(item), reason=reason))
                case _:
                    decided.append(answer)
        await self.set_aside(culprits)
        return decided

    async def set_aside(self, culprits: Sequence[SetAside]) -> None:
        """Skip these rows for a while. The log line is an alarm: a person has to repair the row."""
        self._left_out |= {culprit.id for culprit in culprits}
        if not culprits:
            return
        unique = list({culprit.id: culprit for culprit in culprits}.values())
        for culprit, kept in zip(unique, await self._rt.run_all(set_aside, unique), strict=True):
            log.error(
                "set_aside",
                kind=culprit.kind,
                id=culprit.id,
                reason=culprit.reason,
                attempts=kept.attempts,
                next_try_at=kept.next_try_at.isoformat(),
            )

    async def done(self, due: Iterable[Due]) -> None:
        """Rows that were set aside before and were decided in this round are no longer set aside."""
        again = [(self._kind, one.id) for one in due if one.again and one.id not in self._left_out]
        if again:
            await self._rt.run_all(take_back, again)


def reason_of(error: BaseException) -> str:
    """The error in one line. The second line of PostgreSQL's errors contains the row, with personal data perhaps."""
    first = next(iter(str(error).replace("\0", "").splitlines()), "")
    readable = first.encode("utf-8", "replace").decode()
    return f"{type(error).__name__}: {readable}"[:_REASON_CHARS_MAX]
