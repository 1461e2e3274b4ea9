"""`boxoffice`: inspect, check, repair. Exit status 1 when something is wrong, 2 when the command cannot be executed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import psycopg

from shared_lib.cli import catalog, clock, dead_letters, lag, outbox
from shared_lib.cli.doctor import doctor
from shared_lib.cli.explain import explain
from shared_lib.cli.terminal import CannotError
from shared_lib.domain.money import Money
from shared_lib.settings import WrongSettingsError, take_mounted
from shared_lib.visible import say


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        take_mounted("cli")
        healthy, text = run(options)
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
    say(text)
    return 0 if healthy else 1


def run(options: argparse.Namespace) -> tuple[bool, str]:
    """Whether all is well, and what to print."""
    match options.command, getattr(options, "verb", None):
        case "explain", _:
            return True, explain(options.id)
        case "doctor", _:
            return doctor()
        case "outbox", _:
            return outbox.show()
        case "lag", _:
            return lag.lag(options.oldest_max_s)
        case "dead-letters", "list":
            return True, dead_letters.show_all()
        case "dead-letters", "show":
            return True, dead_letters.show(options.id)
        case "dead-letters", "replay":
            if bool(options.id) is options.all:
                raise CannotError("Name one dead letter, or give --all.")
            return True, dead_letters.replay(options.id)
        case "catalog", "list":
            return True, catalog.show()
        case "catalog", "retire":
            return True, catalog.retire(options.price_id)
        case "catalog", "add-price":
            return True, add_price(options)
        case "clock", "show":
            return True, clock.show()
        case "clock", "advance":
            return True, clock.advance(options.by)
        case "tick", _:
            return True, clock.tick(options.what)
        case _:
            raise CannotError("See boxoffice --help.")


def add_price(options: argparse.Namespace) -> str:
    try:
        amount = Money(options.amount_minor, options.currency)
    except ValueError as error:
        raise CannotError(str(error)) from None
    return catalog.add_price(
        options.product_id,
        options.kind,
        amount,
        every=options.every,
        trial_days=options.trial_days,
        title=options.title,
    )


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="boxoffice", description="Inspect, check and repair. Settings come from BOXOFFICE_*."
    )
    commands = top.add_subparsers(dest="command", required=True)

    one = commands.add_parser(
        "explain", help="what happened to an order, payment, refund, subscription or access"
    )
    one.add_argument("id", help="ord_..., pay_..., ref_..., sub_... or ent_...")
    commands.add_parser("doctor", help="check every part, and say what to do about failures")

    commands.add_parser(
        "outbox", help="events not delivered yet, and the relays; status 1 when they are stuck"
    )

    behind = commands.add_parser(
        "lag",
        help="how far the triggers are behind; status 1 without a consumer, or when a record waits too long",
    )
    behind.add_argument("--oldest-max-s", type=int, default=lag.OLDEST_MAX_S, metavar="SECONDS")

    letters = commands.add_parser("dead-letters", help="events that no door took").add_subparsers(
        dest="verb", required=True
    )
    letters.add_parser("list", help="those not replayed yet")
    letters.add_parser("show", help="one of them, in full").add_argument("id")
    again = letters.add_parser("replay", help="send again: into the outbox, or to its topic")
    again.add_argument("id", nargs="?")
    again.add_argument("--all", action="store_true")

    prices = commands.add_parser("catalog", help="products and prices").add_subparsers(
        dest="verb", required=True
    )
    prices.add_parser("list", help="all of them")
    prices.add_parser("retire", help="stop selling a price").add_argument("price_id")
    _add_price_arguments(prices.add_parser("add-price", help="sell at a new price from now on"))

    time = commands.add_parser("clock", help="the test clock").add_subparsers(dest="verb", required=True)
    time.add_parser("show", help="the time by the test clock")
    time.add_parser("advance", help="advance it, with the sandbox's").add_argument(
        "by", help="31d, 2h30m, 90s"
    )

    ticks = commands.add_parser("tick", help="send one tick now")
    ticks.add_argument("what", choices=("renewal", "reconcile"))
    return top


def _add_price_arguments(price: argparse.ArgumentParser) -> None:
    price.add_argument("product_id")
    price.add_argument("kind", choices=("purchase", "rental", "subscription"))
    price.add_argument("amount_minor", type=int, help="1299 is 12.99 EUR")
    price.add_argument("currency", help="EUR")
    price.add_argument("--every", nargs=2, metavar=("N", "UNIT"), help="1 month; of a subscription")
    price.add_argument("--trial-days", type=int, default=0)
    price.add_argument("--title", help="of the product, when it is new")


if __name__ == "__main__":
    sys.exit(main())
