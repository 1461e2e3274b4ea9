"""`boxoffice new event TYPE`: a fact, in every place that tests compare with the table of events. Nothing writes it yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared_lib.billing.events import FactType
from shared_lib.cli.new.edits import Edits
from shared_lib.cli.terminal import CannotError

_TYPE: Final = re.compile(r"billing\.(order|payment|subscription|refund|entitlement)\.([a-z]+(?:_[a-z]+)*)")
RENDER: Final = "shared_lib/mail/render.py"


@dataclass(frozen=True)
class NewEvent:
    """`billing.order.gifted` is FactType.ORDER_GIFTED with OrderData. Raises CannotError for a type that is malformed or taken."""

    type: str

    def __post_init__(self) -> None:
        if not _TYPE.fullmatch(self.type):
            raise CannotError(
                f"{self.type!r} cannot name a fact: it is billing.NOUN.VERB, with order, payment, subscription, refund "
                "or entitlement as its noun."
            )
        if self.type in set(FactType) or self.member in FactType.__members__:
            raise CannotError(f"The event {self.type} exists already.")

    @property
    def noun(self) -> str:
        return self.type.split(".")[1]

    @property
    def verb(self) -> str:
        return self.type.split(".")[2]

    @property
    def member(self) -> str:
        return f"{self.noun}_{self.verb}".upper()

    def edit(self, root: Path) -> list[str]:
        """Write it into the tree. Returns the changed paths. Raises CannotError, and writes nothing, when a place is not found."""
        edits, events = Edits(root), "shared_lib/billing/events.py"
        edits.after(events, "    ENTITLEMENT_REVOKED = ", f'    {self.member} = "{self.type}"\n')
        data = f"{self.noun.capitalize()}Data"
        edits.after(events, "    FactType.ENTITLEMENT_REVOKED: ", f"    FactType.{self.member}: {data},\n")
        edits.after(
            "shared_lib/contract/events.py",
            "    FactType.ENTITLEMENT_REVOKED: ",
            f'    FactType.{self.member}: "The {self.noun} is {self.verb.replace("_", " ")}.",\n',
        )
        edits.after(
            RENDER,
            "        FactType.SUBSCRIPTION_RENEWED: ",
            f'        FactType.{self.member}: "no mail about it is written",\n',
        )
        nouns = f'    "billing.{self.noun}": "'
        edits.replace("tests/mail/test_render.py", nouns, f"{nouns}{self.verb} ")
        return edits.write()
