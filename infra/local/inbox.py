"""make mails: what the stack's mail service, in place of SES, was given to send, as an inbox to read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

from infra.local.console import Console
from infra.servers.sent_mails import SentMail
from shared_lib.visible import say

LISTED_MAX = 15


def show(console: Console, sent: Sequence[SentMail], *, customer: str | None, number: int | None) -> bool:
    """List the newest mails, and print the newest one, or mail `number`; False when there is no mail of that number.

    `customer` is the name of a token (`bob` for bob@example.com) or an address.
    """
    mails = list(enumerate(sent, start=1))
    if customer:
        mails = [(at, mail) for at, mail in mails if customer in (to := _to(mail), to.split("@")[0])]
    if not mails:
        who = f" to {customer}" if customer else ""
        console.say(
            f"No mail{who} yet. A paid order brings one: buy a film as `make up` shows, then try again."
        )
        return True
    if number is None:
        _list(console, mails)
        number = mails[-1][0]
    found = next((mail for at, mail in mails if at == number), None)
    if found is None:
        say(f"There is no mail {number} here; the newest is {mails[-1][0]}.", sys.stderr)
        return False
    _read(console, number, found)
    if len(mails) > 1:
        console.say(
            console.dim("\nAnother one: make mails ARGS=NUMBER    Of one customer: make mails CUSTOMER=bob")
        )
    return True


def _list(console: Console, mails: Sequence[tuple[int, SentMail]]) -> None:
    if len(mails) > LISTED_MAX:
        console.say(console.dim(f"{len(mails)} mails; the newest {LISTED_MAX}:"))
    width = max(len(_to(mail)) for _, mail in mails[-LISTED_MAX:])
    for at, mail in mails[-LISTED_MAX:]:
        console.say(f"{at:>4}  {_at(mail)}  {_to(mail):<{width}}  {mail.message['subject']}")
    console.say()


def _read(console: Console, number: int, mail: SentMail) -> None:
    body = mail.message.get_body(("plain", "html"))
    text = str(body.get_content()) if body else ""
    console.say(console.bold(str(mail.message["subject"])))
    console.say(console.dim(f"mail {number}, from {mail.message['from']} to {_to(mail)}, {_at(mail)}"))
    console.say("\n" + "\n".join(f"  {line}".rstrip() for line in text.strip().splitlines()))


def _to(mail: SentMail) -> str:
    return ", ".join(mail.recipients)


def _at(mail: SentMail) -> str:
    """The mail's own date, which follows the test clock."""
    return f"{parsedate_to_datetime(str(mail.message['date'])):%Y-%m-%d %H:%M}"
