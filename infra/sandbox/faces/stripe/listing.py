"""Stripe's lists: newest first, `limit`, `starting_after`, `created[gte]`; and the search by metadata, which lags."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from infra.sandbox.engine.clock import SECOND_US
from infra.sandbox.engine.core import Moment
from infra.sandbox.engine.database import Row, one
from infra.sandbox.engine.idempotency import Answer
from infra.sandbox.engine.listing import ListQuery, page
from infra.sandbox.faces.stripe.errors import refused
from infra.sandbox.faces.stripe.forms import nested
from infra.sandbox.faces.stripe.ids import CHARGE, INTENT, engine
from infra.sandbox.faces.stripe.parts import Wanted, wanted
from infra.sandbox.faces.stripe.views import HAS_INTENT, intent_view

LIMIT_MAX: Final = 100
SEARCH_LAG_S: Final = 60
"""What was made within this is not found by a search yet."""

View = Callable[[Moment, Row, Wanted], dict[str, Any]]
Table = Literal["payments", "refunds"]
_SEARCH = re.compile(r"""metadata\[['"](payment_id|order_id)['"]\]\s*:\s*['"]([^'"]{1,200})['"]""")
_KNOWN: Final = frozenset({"limit", "starting_after", "created", "expand"})


def wanted_in(query: Mapping[str, str], prefix: str = "") -> Wanted:
    """What the query asks to expand; in a list, each path begins with "data."."""
    paths = _parsed(query).get("expand", [])
    return wanted(str(path).removeprefix(prefix) for path in paths)


def listed(
    at: Moment,
    query: Mapping[str, str],
    *,
    url: str,
    table: Table,
    prefix: str,
    view: View,
    where: Sequence[str],
) -> Answer:
    """One page of a list; `prefix` is that of its objects' ids."""
    asked = _parsed(query)
    if unknown := sorted(asked.keys() - _KNOWN - {"payment_intent", "charge"}):
        raise refused(f"Received unknown parameter: {unknown[0]}", unknown[0], "parameter_unknown")
    created = asked.get("created", {})
    equal = {}
    for name, its_prefix in (("payment_intent", INTENT), ("charge", CHARGE)):
        if name in asked:
            equal["id" if table == "payments" else "payment"] = engine(its_prefix, asked[name])
    rows, cursor = page(
        at,
        table,
        ListQuery(
            limit=_limit(asked),
            # Stripe keeps whole seconds: what was made within one counts as made at its beginning.
            created_from=_instant(created, "gte"),
            created_before=_instant(created, "lt"),
            equal=equal,
            after=_after(at, table, prefix, asked),
            where=where,
        ),
    )
    want = wanted_in(query, "data.")
    body = {
        "object": "list",
        "data": [view(at, row, want) for row in rows],
        "has_more": cursor is not None,
        "url": url,
    }
    return Answer(200, body)


def searched_intents(at: Moment, query: Mapping[str, str]) -> Answer:
    asked = _parsed(query)
    found = _SEARCH.fullmatch(str(asked.get("query", "")).strip())
    if found is None:
        raise refused("This sandbox searches for metadata['payment_id']:'...' alone", "query")
    column = {"payment_id": "their_payment", "order_id": "their_order"}[found[1]]
    rows, cursor = page(
        at,
        "payments",
        ListQuery(
            limit=_limit(asked),
            created_before=at.now - SEARCH_LAG_S * SECOND_US,
            equal={column: found[2]},
            where=[HAS_INTENT],
        ),
    )
    want = wanted_in(query, "data.")
    body = {
        "object": "search_result",
        "data": [intent_view(at, row, want) for row in rows],
        "has_more": cursor is not None,
        "next_page": None,
        "url": "/v1/payment_intents/search",
    }
    return Answer(200, body)


def _parsed(query: Mapping[str, str]) -> dict[str, Any]:
    try:
        return nested(query.items())
    except ValueError as error:
        raise refused(str(error)) from None


def _limit(asked: Mapping[str, Any]) -> int:
    text = asked.get("limit", "10")
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and 1 <= int(text) <= LIMIT_MAX):
        raise refused("limit is a number from 1 to 100", "limit")
    return int(text)


def _instant(created: Any, name: str) -> int | None:
    if not isinstance(created, dict) or created.keys() - {"gte", "lt"}:
        raise refused("This sandbox filters by created[gte] and created[lt] alone", "created")
    text = created.get(name)
    if text is None:
        return None
    if not (isinstance(text, str) and text.isascii() and text.isdigit()):
        raise refused("Invalid integer", f"created[{name}]", "parameter_invalid_integer")
    return int(text) * SECOND_US


def _after(at: Moment, table: Table, prefix: str, asked: Mapping[str, Any]) -> int | None:
    if "starting_after" not in asked:
        return None
    found = one(at.tx, f"SELECT seq FROM {table} WHERE id = ?", engine(prefix, asked["starting_after"]))
    if found is None:
        raise refused(f"No such object: '{asked['starting_after']}'", "starting_after", "resource_missing")
    return int(found["seq"])
