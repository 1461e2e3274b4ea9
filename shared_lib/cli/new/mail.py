"""`boxoffice new mail TYPE`: a mail about a fact that has none, with templates in both languages and an example for its tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared_lib.billing.events import FactType
from shared_lib.cli.new.edits import Edits
from shared_lib.cli.new.event import RENDER
from shared_lib.cli.terminal import CannotError

# What shared_lib/queries/mails.py looks up for every fact of a noun: the number in the mail, and the example of the tests.
NUMBERS: Final = {"payment": ("order_id", "_PAYMENT"), "subscription": ("subscription_id", "_SUBSCRIPTION")}
WORDS: Final = {
    "en": ("News about {{ product_title }}", "There is news about {{ product_title }}.", "Title", "Number"),
    "ru": ("Новости: «{{ product_title }}»", "Есть новости: «{{ product_title }}».", "Название", "Номер"),
}


@dataclass(frozen=True)
class NewMail:
    """Raises CannotError for a type that is no fact, has a mail, or is about a thing whose rows no mail can name yet."""

    type: str

    def __post_init__(self) -> None:
        if self.type not in set(FactType):
            raise CannotError(
                f"{self.type} is no fact of billing: see docs/events.md, or `boxoffice new event`."
            )
        if self.noun not in NUMBERS:
            raise CannotError(
                f"A mail about this {self.noun} needs rows that mail_facts in shared_lib/queries/mails.py does not read: "
                "write it by hand."
            )

    @property
    def noun(self) -> str:
        return self.type.split(".")[1]

    @property
    def template(self) -> str:
        return "_".join(self.type.split(".")[1:])

    def edit(self, root: Path) -> list[str]:
        """Write it into the tree. Returns the changed paths. Raises CannotError, and writes nothing, when a place is not found."""
        edits = Edits(root)
        member, (number, example) = FactType(self.type).name, NUMBERS[self.noun]
        edits.remove_in(
            RENDER,
            "NOT_MAILED: Final",
            f"        FactType.{member}: ",
            missing=f"{self.type} has a mail already.",
        )
        edits.before(
            RENDER,
            "        FactType.SUBSCRIPTION_SUSPENDED: ",
            f'        FactType.{member}: "{self.template}",\n',
        )
        for language, (subject, paragraph, title, label) in WORDS.items():
            edits.create(
                f"shared_lib/mail/templates/{language}/{self.template}.j2",
                f"""{{% extends "{language}/mail.j2" %}}
{{% from kit import p, facts, button %}}
{{% block subject %}}{subject}{{% endblock %}}
{{% block heading %}}{subject}{{% endblock %}}
{{% block preview %}}{{{{ product_title }}}}{{% endblock %}}
{{% block body %}}
{{% call p() %}}{paragraph}{{% endcall %}}
{{{{ facts([("{title}", product_title), ("{label}", {number})]) }}}}
{{% endblock %}}
""",
            )
        edits.before(
            "tests/mail/events.py",
            '    "paused": (',
            f'    "{self.template.replace("_", " ")}": ("{self.type}", {example}),\n',
        )
        return edits.write()
