"""make up: start everything, print the addresses and first commands, then show the log lines until Ctrl-C."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

from infra.local.console import Console
from infra.local.home import Home, Running
from infra.local.processes import StackError
from infra.local.stack import running_stack
from infra.local.tokens import token

CUSTOMER, OPERATOR = "ann", "olga"


async def up(home: Home, console: Console, *, reloads: bool = False) -> int:
    """Runs until it is canceled. With `reloads`, a door whose file changes is started again."""
    if not home.hold():
        there = home.running()
        raise StackError(f"A stack already runs on {home.folder}" + (f": {there.gateway}" if there else "."))
    console.say("Starting ...")
    async with running_stack(home, console, reloads=reloads) as (running, took_s):
        await _welcome(home, console, running, took_s)
        await asyncio.Event().wait()
    return 0


def _typed(path: Path) -> str:
    """The path as typed in the current folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


async def _welcome(home: Home, console: Console, running: Running, took_s: float) -> None:
    customer = await token(running, CUSTOMER, "billing:customer")
    operator = await token(running, OPERATOR, "billing:operator")
    path = home.keep_token("customer", customer)
    home.keep_token("operator", operator)
    shown = _typed(path)
    body = '{"price_id": "prc_metropolis_buy", "return_url": "' + running.gateway + '/thanks"}'
    rows = {
        "Gateway": running.gateway,
        "Provider": f"{running.sandbox}   (checkout pages; test cards: python -m infra.sandbox.engine.cards)",
        "Mail": f"{running.mail}/moto-api/   (sent mails: /moto-api/data.json)",
        "Auth": f"{running.auth}/token",
        "Database": running.database_url,
        "Logs": str(home.logs),
    }
    say = console.say
    say(console.bold(f"Boxoffice is up after {took_s:.1f} s."))
    for name, value in rows.items():
        say(f"  {name:<9} {value}")
    say(f"\nToken of customer {CUSTOMER} (12 hours, also in {shown}):\n{customer}")
    say(f"\nToken of operator {OPERATOR}:\n{operator}")
    say("\nA first order; open its checkout_url in a browser and pay with 4242 4242 4242 4242:")
    say(
        f"""curl -s {running.gateway}/v1/orders -H "Authorization: Bearer $(cat {shown})" \\
  -H "Idempotency-Key: $(date +%s%N)" -H 'Content-Type: application/json' \\
  -d '{body}'"""
    )
    say(f"""curl -s {running.gateway}/v1/orders -H "Authorization: Bearer $(cat {shown})"\n""")
    say(console.dim("The log follows; Ctrl-C stops everything."))
