"""What the commands of `boxoffice` share: options, and how a command ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from shared_lib.cli.terminal import CannotError, Output

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
By = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who repairs; else the user of this machine.")
]
Before = Annotated[
    str | None,
    typer.Option("--before", metavar="ID", help="Go on behind this one, the last of an earlier list."),
]
Why = Annotated[str | None, typer.Option("--because", metavar="WHY", help="Why; it is kept.")]
Because = Annotated[str, typer.Option("--because", metavar="WHY", help="Why; it is kept.")]


def refuse_unreadable(arguments: Sequence[str]) -> None:
    """Raise CannotError for an argument that is empty (a shell variable that was not set) or no UTF-8, before anything is done."""
    for n, argument in enumerate(arguments, 1):
        option, given, value = argument.partition("=")
        named = option if given and option.startswith("--") else ""
        if not (value if named else argument).strip():
            raise CannotError(f"{named or f'Argument {n}'} is empty.")
        try:
            argument.encode()
        except UnicodeEncodeError:  # how Python keeps bytes that are no UTF-8
            raise CannotError(f"{named or f'Argument {n}'} is not UTF-8.") from None


def end_with(output: Output, *, as_json: bool) -> None:
    """Print what was found, and end the command: with status 1 when it is not well."""
    output.show(as_json=as_json)
    raise typer.Exit(0 if output.well else 1)
