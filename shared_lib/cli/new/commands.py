"""`boxoffice new door|event|mail`, in the project's root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from shared_lib.cli.new.door import NewDoor
from shared_lib.cli.new.event import NewEvent
from shared_lib.cli.new.event_door import NewEventDoor
from shared_lib.cli.new.mail import NewMail
from shared_lib.cli.options import Json
from shared_lib.cli.terminal import CannotError, Output

GENERATORS: Final = ("infra.nginx.doors", "infra.kubernetes.generate", "shared_lib.cli.docs")

app = typer.Typer(no_args_is_help=True, help="Write a new part into a checkout of the source tree.")


@app.command("door")
def _door(
    name: Annotated[str, typer.Argument(help="gift_cards answers GET /v1/gift-cards")],
    *,
    job: Annotated[
        str | None,
        typer.Option(metavar="JOB", help="expire_gifts: it takes billing.job.expire_gifts, and no call"),
    ] = None,
    as_json: Json = False,
) -> None:
    """A function with one call, or with one job, in every place that tests compare with the tables of the contract."""
    then = f"Now write what it does in functions/{name}/main.py, and run `make check`."
    part = NewEventDoor(name, job) if job else NewDoor(name)
    _made(part, then).show(as_json=as_json)


@app.command("event")
def _event(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="billing.payment.disputed")],
    *,
    as_json: Json = False,
) -> None:
    """A fact, with its data; nothing writes it yet, and no mail is about it."""
    then = (
        f"Now write {kind} where it happens, say when in shared_lib/contract/events.py, and run `make check`."
    )
    _made(NewEvent(kind), then).show(as_json=as_json)


@app.command("mail")
def _mail(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="of a fact that has no mail")],
    *,
    as_json: Json = False,
) -> None:
    """A mail about a fact, in both languages."""
    _made(NewMail(kind), "Now write its words in both languages, and run `make check`.").show(as_json=as_json)


def _made(part: NewDoor | NewEvent | NewMail, then: str) -> Output:
    """Write the part and what is generated from it. Raises CannotError."""
    changed = part.edit(Path.cwd())
    code = [path for path in changed if path.endswith(".py")]
    for argv in (
        ["ruff", "format", "-q", *code],
        ["ruff", "check", "-q", "--fix", *code],
        *([one] for one in GENERATORS),
    ):
        # In a process of its own: it imports what was just written.
        ran = subprocess.run(  # noqa: S603  # our own modules
            [sys.executable, "-m", *argv], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise CannotError(f"{' '.join(argv[:2])} failed:\n{ran.stdout}{ran.stderr}")
    lines = ["Written, and what is generated from it:", *(f"  {path}" for path in changed), then]
    return Output([Text("\n".join(lines))], {"changed": changed, "then": then})
