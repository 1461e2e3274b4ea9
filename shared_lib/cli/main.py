"""`boxoffice`: inspect, check, repair."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import psycopg
import structlog
import typer

from shared_lib.cli import ask as asking
from shared_lib.cli import clock, dead_letters, lag, notifications, outbox, repairs, selling
from shared_lib.cli.doctor import doctor
from shared_lib.cli.explain import explain
from shared_lib.cli.new import commands as new
from shared_lib.cli.options import Because, Before, By, Json, Why, end_with, refuse_unreadable
from shared_lib.cli.terminal import CannotError
from shared_lib.settings import WrongSettingsError, take_mounted
from shared_lib.visible import say

app = typer.Typer(
    name="boxoffice",
    help="Inspect, check and repair. Settings come from BOXOFFICE_*.",
    epilog="Exit status: 0 when all is well; 1 when something is not, or was not done; 2 when the command cannot be executed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_letters = typer.Typer(no_args_is_help=True, help="Events that no door took.")
_mails = typer.Typer(no_args_is_help=True, help="Mails to customers.")
app.add_typer(_letters, name="dead-letters")
app.add_typer(_mails, name="notifications")
app.add_typer(selling.prices, name="catalog")
app.add_typer(selling.time, name="clock")
app.add_typer(new.app, name="new")

_OTHER_TABLES = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
)


class TickName(StrEnum):
    RENEWAL = "renewal"
    RECONCILE = "reconcile"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: all is well; 1: something is not, or was not done; 2: the command cannot be executed, and stderr says why."""
    if arguments is None:  # a process of its own: what the runtime logs is not the command's answer
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        refuse_unreadable(given)
        app(given, prog_name="boxoffice")
    except (CannotError, WrongSettingsError) as error:
        say(str(error), sys.stderr)
        return 2
    except psycopg.errors.InsufficientPrivilege as error:
        say(
            f"The database role of this shell may not do that: {error.diag.message_primary}."
            " Commands that write need boxoffice_operator (docs/roles.md).",
            sys.stderr,
        )
        return 2
    except _OTHER_TABLES as error:
        say(
            f"The tables are not those of this code: {error.diag.message_primary}. Run python -m shared_lib.store.migrate.",
            sys.stderr,
        )
        return 2
    except psycopg.DataError as error:  # out of the range of a column, not a number
        say(f"The database does not take a value: {error.diag.message_primary or error}.", sys.stderr)
        return 2
    except psycopg.OperationalError as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        say(
            f"The database ended the command: {what}. Run it again; `boxoffice doctor` says more.", sys.stderr
        )
        return 2
    except SystemExit as ended:  # how Typer ends, with a status
        return ended.code if isinstance(ended.code, int) else 0
    return 0


@app.callback()
def _settings() -> None:
    take_mounted("cli")


# ---- look ------------------------------------------------------------------------------------------------------


@app.command("explain")
def _explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="ord_..., pay_..., ref_..., sub_..., ent_..., a customer, an e-mail address"
        ),
    ],
    *,
    as_json: Json = False,
) -> None:
    """What happened, why, what may be watched, and what comes next."""
    end_with(explain(what), as_json=as_json)


@app.command("doctor")
def _doctor(*, as_json: Json = False) -> None:
    """Check every part, and say what to do about failures."""
    end_with(doctor(), as_json=as_json)


@app.command("outbox")
def _outbox(*, as_json: Json = False) -> None:
    """Events not delivered yet, and the relays; status 1 when they are stuck."""
    end_with(outbox.show(), as_json=as_json)


@app.command("lag")
def _lag(
    *,
    oldest_max_s: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long a record may wait.")
    ] = lag.OLDEST_MAX_S,
    as_json: Json = False,
) -> None:
    """How far the triggers are behind; status 1 without a consumer, or when a record waits too long."""
    end_with(lag.lag(oldest_max_s), as_json=as_json)


@app.command("repairs")
def _repairs(
    target: Annotated[str | None, typer.Argument(metavar="ID", help="what was repaired")] = None,
    *,
    before: Before = None,
    as_json: Json = False,
) -> None:
    """What operators did with this command, newest first: who, when, what, why."""
    end_with(repairs.show(target, before=before), as_json=as_json)


# ---- repair ----------------------------------------------------------------------------------------------------


@app.command("ask")
def _ask(
    id_: Annotated[str, typer.Argument(metavar="ID", help="pay_... or ref_...")],
    *,
    by: By = None,
    because: Why = None,
    as_json: Json = False,
) -> None:
    """Ask the provider about a payment or refund now, whatever the schedule."""
    end_with(asking.ask(id_, by=by, because=because), as_json=as_json)


@app.command("tick")
def _tick(what: TickName, *, by: By = None, because: Why = None, as_json: Json = False) -> None:
    """Send one tick now."""
    end_with(clock.tick(what, by=by, because=because), as_json=as_json)


@_letters.command("list")
def _letters_list(
    *,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ID", help="Go on behind this one of the database.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Those that wait, oldest first: in the database, and in Kafka's topic."""
    end_with(dead_letters.show_all(after), as_json=as_json)


@_letters.command("show")
def _letters_show(id_: Annotated[str, typer.Argument(metavar="ID")], *, as_json: Json = False) -> None:
    """One of them, in full."""
    end_with(dead_letters.show(id_), as_json=as_json)


@_letters.command("replay")
def _letters_replay(
    id_: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    by: By = None,
    because: Why = None,
    as_json: Json = False,
) -> None:
    """Send again: into the outbox, or to its topic."""
    if bool(id_) is all_:
        raise CannotError("Name one dead letter, or give --all.")
    end_with(dead_letters.replay(id_, by=by, because=because), as_json=as_json)


@_letters.command("dismiss")
def _letters_dismiss(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    *,
    because: Because,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Do not send it again, and count it no longer. It is kept."""
    end_with(dead_letters.dismiss(id_, because, by=by), as_json=as_json)


@_mails.command("list")
def _mails_list(
    of: Annotated[
        str | None, typer.Argument(metavar="OF", help="a customer, an e-mail address, ord_... or sub_...")
    ] = None,
    *,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="Only those that did not, or may not, arrive.")
    ] = False,
    before: Before = None,
    as_json: Json = False,
) -> None:
    """Mails, newest first."""
    end_with(notifications.show_all(of, undelivered=undelivered, before=before), as_json=as_json)


@_mails.command("resend")
def _mails_resend(
    id_: Annotated[str, typer.Argument(metavar="ID", help="ntf_...")],
    *,
    by: By = None,
    because: Why = None,
    as_json: Json = False,
) -> None:
    """Send a mail once more, also one that was sent, or may have been."""
    end_with(notifications.resend(id_, by=by, because=because), as_json=as_json)


@_mails.command("dismiss")
def _mails_dismiss(
    id_: Annotated[str, typer.Argument(metavar="ID", help="ntf_...")],
    *,
    because: Because,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Do not send it again; doctor no longer names it."""
    end_with(notifications.dismiss(id_, because, by=by), as_json=as_json)


if __name__ == "__main__":
    sys.exit(main())
