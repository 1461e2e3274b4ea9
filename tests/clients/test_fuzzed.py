"""Requests that schemathesis derives from docs/openapi.json get answers that docs/openapi.json describes."""

from __future__ import annotations

from pathlib import Path

from tests.clients.tools import HERE, OPENAPI, Tools
from tests.kit.cinema import RETURN_URL
from tests.kit.cinema_fixtures import OpenCinema

LOCAL = "http://127.0.0.1:8100"
"""The origin to which the document's examples return."""


EXAMPLES = 8
"""Generated requests for each call, beside those of the document's examples and of the limits of its schemas."""


async def test_what_the_document_allows_and_forbids_is_answered_as_it_says(
    open_cinema: OpenCinema, tools: Tools, tmp_path: Path
) -> None:
    async with open_cinema(return_url_origins=[RETURN_URL.removesuffix("/thanks"), LOCAL]) as cinema:
        paid = await cinema.bought("prc_stalker_buy")
        token = cinema.token("ann", "billing:customer", "billing:operator")
        await tools.run(
            tmp_path,
            *("schemathesis", "--config-file", HERE / "schemathesis.toml", "run", OPENAPI),
            *("--url", cinema.url, "--header", f"Authorization: Bearer {token}"),
            *("--seed", "1", "--max-examples", str(EXAMPLES)),
        )
        assert (await cinema.get(f"/v1/orders/{paid['id']}"))["id"] == paid["id"]
        assert cinema.value("SELECT count(*) FROM orders") > 1
        await cinema.assert_balanced()
