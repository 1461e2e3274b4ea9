"""make up: start everything, print the address and first commands, then show the log lines until Ctrl-C."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import psycopg

from infra.local.console import Console
from infra.local.home import Home, Running, typed
from infra.local.own_settings import OwnSettings
from infra.local.processes import StackError
from infra.local.stack import running_stack
from infra.local.tokens import token

CUSTOMER, OPERATOR = "ann", "olga"


async def up(home: Home, console: Console, own: OwnSettings, *, reloads: bool = False) -> int:
    """Runs until it is canceled. With `reloads`, a door whose file changes is started again."""
    if not home.hold():
        there = home.running()
        where = f": {there.gateway}" if there else f" on {home.folder}."
        raise StackError(
            f"A stack already runs{where}\nStop it with Ctrl-C where it was started, or use it as it is."
        )
    for note in own.notes:
        console.warn(note)
    async with running_stack(home, console, reloads=reloads, own=own) as (running, took_s):
        customer = home.keep_token("customer", await token(running, CUSTOMER, "billing:customer"))
        home.keep_token("operator", await token(running, OPERATOR, "billing:operator"))
        console.say(console.bold(f"Boxoffice is up after {took_s:.1f} s."))
        ahead = await asyncio.to_thread(days_ahead, running.database_url)
        for line in welcome(running, customer, len(own.used), ahead):
            console.say(line)
        console.say(console.dim("The log follows; Ctrl-C stops everything."))
        await asyncio.Event().wait()
    return 0


def days_ahead(database_url: str) -> int:
    """How many whole days the stack's clock is ahead of this machine's: `make demo` moves it on."""
    with psycopg.connect(database_url) as db:
        (ahead,) = db.execute("SELECT boxoffice_now() - now()").fetchone() or (timedelta(),)
    return int(ahead / timedelta(days=1))


def welcome(running: Running, customer_token: Path, own: int = 0, ahead: int = 0) -> list[str]:
    """What to do first, on a screen of 24 lines. `own` is how many settings are the caller's, `ahead` the days of the clock."""
    bearer = f'  -H "Authorization: Bearer $(cat {typed(customer_token)})"'
    return [
        f"  Gateway   {running.gateway}" + (f"   ({own} settings of yours)" if own else ""),
        f"  Provider  {running.sandbox}   (test cards are on its page)",
        f"  Tokens    {typed(customer_token)} ({CUSTOMER}, a customer), operator.token ({OPERATOR})",
        *(
            [f"  Clock     {ahead} days ahead; make reset deletes all data and returns to today"]
            if ahead
            else []
        ),
        "",
        "A first order, from another terminal. Open its checkout_url and pay",
        "with 4242 4242 4242 4242, any date to come and any three digits:",
        f"curl -s {running.gateway}/v1/orders -H 'Content-Type: application/json' \\",
        f"{bearer} \\",
        '  -H "Idempotency-Key: $(date +%s%N)" \\',
        """  -d '{"price_id": "prc_metropolis_buy",""",
        f"""       "return_url": "{running.gateway}/thanks"}}' | python3 -m json.tool""",
        "What may be watched now:",
        f"curl -s {running.gateway}/v1/entitlements \\",
        bearer,
        "More for another terminal:",
        "  make mails             what was mailed         make token CUSTOMER=bob",
        "  make cli ARGS=doctor   what needs attention    make db       psql",
        "  make demo              a year of business      make reset    new data",
        "",
    ]
