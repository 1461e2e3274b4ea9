"""The mails that moto, in place of Amazon SES, accepted. Standard library alone: hosts without the virtualenv read them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_string
from email.message import EmailMessage
from email.policy import default as modern_policy
from typing import Any, Final

PATH: Final = "/moto-api/data.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMail:
    """What SES accepted: its message id, the envelope's recipients, and the message as MIME."""

    message_id: str
    recipients: tuple[str, ...]
    message: EmailMessage


def accepted(models: Mapping[str, Any]) -> list[SentMail]:
    """The mails in moto's answer to PATH, oldest first."""
    return [
        SentMail(
            message_id=raw["id"],
            # moto adds the recipients it reads in the headers to those of the envelope.
            recipients=tuple(dict.fromkeys(raw["destinations"])),
            message=message_from_string(raw["raw_data"], policy=modern_policy),
        )
        for raw in models.get("ses", {}).get("RawMessage", [])
    ]
