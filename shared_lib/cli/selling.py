"""`boxoffice catalog` and `boxoffice clock`, as they are typed: what is sold, and the time on a test clock."""

from __future__ import annotations

from typing import Annotated

import typer

from shared_lib.cli import catalog, clock
from shared_lib.cli.options import By, Json, Why, end_with
from shared_lib.cli.terminal import CannotError
from shared_lib.domain.catalog import PriceKind
from shared_lib.domain.money import Money

prices = typer.Typer(no_args_is_help=True, help="Products and prices.")
time = typer.Typer(no_args_is_help=True, help="The test clock.")


@prices.command("list")
def _prices_list(*, as_json: Json = False) -> None:
    """All of them."""
    end_with(catalog.show(), as_json=as_json)


@prices.command("retire")
def _prices_retire(
    price_id: Annotated[str, typer.Argument(metavar="PRICE", help="prc_...")],
    *,
    by: By = None,
    because: Why = None,
    as_json: Json = False,
) -> None:
    """Stop selling a price."""
    end_with(catalog.retire(price_id, by=by, because=because), as_json=as_json)


@prices.command("add-price")
def _prices_add(
    product_id: Annotated[str, typer.Argument(metavar="PRODUCT", help="prd_...")],
    kind: PriceKind,
    amount_minor: Annotated[int, typer.Argument(help="1299 is 12.99 EUR")],
    currency: Annotated[str, typer.Argument(help="EUR")],
    *,
    every: Annotated[
        tuple[str, str] | None, typer.Option(metavar="N UNIT", help="1 month; of a subscription")
    ] = None,
    trial_days: Annotated[int, typer.Option(help="without charge, of a subscription")] = 0,
    title: Annotated[str | None, typer.Option(help="of the product, when it is new")] = None,
    by: By = None,
    because: Why = None,
    as_json: Json = False,
) -> None:
    """Sell at a new price from now on."""
    try:
        amount = Money(amount_minor, currency)
    except ValueError as error:
        raise CannotError(str(error)) from None
    made = catalog.add_price(
        product_id, kind, amount, every=every, trial_days=trial_days, title=title, by=by, because=because
    )
    end_with(made, as_json=as_json)


@time.command("show")
def _time_show(*, as_json: Json = False) -> None:
    """The time by the test clock."""
    end_with(clock.show(), as_json=as_json)


@time.command("advance")
def _time_advance(
    by: Annotated[str, typer.Argument(help="31d, 2h30m, 90s")],
    *,
    who: By = None,
    because: Why = None,
    as_json: Json = False,
) -> None:
    """Advance it, with the sandbox's."""
    end_with(clock.advance(by, who=who, because=because), as_json=as_json)
