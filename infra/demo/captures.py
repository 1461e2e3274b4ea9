"""Pictures of the terminal for the docs: real commands on a real stack, their output as SVG. `make captures` writes docs/images/*.svg.

With the argument `make` it writes the picture of the targets alone. Else it wants a folder .local without data, because the
pictures show the first day; it deletes what it made.
"""

from __future__ import annotations

import asyncio
import io
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console as Recorder
from rich.text import Text

from infra.demo.screen import Screen
from infra.demo.town import Town, Visitor, open_town
from infra.local.home import Home
from infra.local.processes import StackError
from infra.local.tokens import token
from shared_lib.visible import say

IMAGES: Final = Path("docs") / "images"
ENDS_S: Final = 600.0
HOUR: Final = timedelta(hours=1)
# As Rich writes it, without fonts from elsewhere: those of the reader are as good.
FORMAT: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
.{unique_id}-title {{ font: bold 18px system-ui, Helvetica, Arial, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def picture(name: str, command: str, shown: str, columns: int) -> None:
    """Write what a terminal shows after `command`, with its colors."""
    recorder = Recorder(
        record=True,
        width=columns,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    recorder.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    # The line below the last one shows its underscores, which the picture's lower edge would cut.
    recorder.print(Text.from_ansi(shown.rstrip() + "\n"), soft_wrap=True)
    svg = recorder.export_svg(title=command, code_format=FORMAT, unique_id=name)
    (IMAGES / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    say(f"wrote {IMAGES / name}.svg")


def main(arguments: list[str]) -> int:
    if arguments == ["make"]:
        of_a_command("make", "make", 100)
        return 0
    home = Home(Path(".local"))
    if (home.folder / "postgres").exists():
        raise StackError(
            "The pictures show a first day, and .local has data. Keep them elsewhere, or: make reset"
        )
    of_a_command("make", "make", 100)
    with Screen(["make", "up"], 118) as up:
        up.until("The log follows")
        asyncio.run(a_day(home, up))
        for name in ("kim", "dan"):
            of_a_command(f"explain-{name}", f'make cli ARGS="explain {name}"', 126)
    of_a_command(None, "make reset", 80)
    of_a_command("make-demo", "make demo", 112)
    of_a_command(None, "make reset", 80)
    return 0


async def a_day(home: Home, up: Screen) -> None:
    """A film is bought, and the log of that is pictured. Another one is given back; a month later a renewal is declined."""
    running = home.found()
    assert running
    async with open_town(running, home.secrets().sandbox_api_key) as town:
        await a_first_order(town)
        await asyncio.to_thread(up.until, "mail=sent")
        picture("make-up", "make up", up.text, 118)
        await a_purchase_is_refunded(town)
        await a_renewal_is_declined(town)


def of_a_command(name: str | None, command: str, columns: int) -> None:
    """Run it to its end, and write its picture if that has a name. StackError when it fails."""
    with Screen(["bash", "-c", command], columns) as screen:
        screen.ends(ENDS_S)
        if name:
            picture(name, command, screen.text, columns)


async def customer(town: Town, name: str) -> Visitor:
    return Visitor(town, name, name, await token(town.running, name, "billing:customer"))


async def a_first_order(town: Town) -> None:
    ann = await customer(town, "ann")
    await ann.buys("prc_stalker_buy")
    await ann.entitlements()


async def a_purchase_is_refunded(town: Town) -> None:
    kim = await customer(town, "kim")
    film = await kim.buys("prc_metropolis_buy")
    await kim.call("POST", "/v1/refunds", {"order_id": film["id"], "reason": "wrong film"})
    await town.rest()


async def a_renewal_is_declined(town: Town) -> None:
    dan = await customer(town, "dan")
    await dan.buys("prc_basic_month")
    subscription = await dan.subscription()
    (method,) = await town.rows(
        "SELECT provider_ref FROM payment_methods WHERE id = %s", subscription["payment_method_id"]
    )
    await town.control(
        "POST", f"methods/{method['provider_ref']}/next", {"codes": ["insufficient_funds", None]}
    )
    await town.advance_to(datetime.fromisoformat(subscription["period"]["end"]) + HOUR)
    await town.rest()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StackError as error:
        say(error, sys.stderr)
        sys.exit(1)
