"""Doors read what the cloudevents SDK of today sends, whatever stands in the attributes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared_lib.events.proof import EventSigner
from tests.clients.tools import HERE, Tools
from tests.kit.cinema import EVENT_SECRET, Cinema

NAMES = ("plain", "a b", "Amélie", '"quoted"', "100%", "50%25", "中文 🎬")
DATA = {"customer_id": "ann", "product_id": "prd_metropolis", "started_at": "2026-01-01T00:00:00Z"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


async def test_names_arrive_as_they_were_in_each_mode(cinema: Cinema, tools: Tools, tmp_path: Path) -> None:
    for mode in ("binary", "structured", "batch"):
        events = [{"attributes": attributes(f"{mode} {name}"), "data": DATA} for name in NAMES]
        printed = await tools.run(
            tmp_path, tools.bin / "python", HERE / "sender.py", json.dumps(events, ensure_ascii=True)
        )
        sent: list[tuple[dict[str, str], str]] = json.loads(printed)
        if mode == "batch":  # this SDK has none: its structured events in an array
            whole = [json.loads(body) for _, body in sent[1::2]]
            await post(cinema, BATCH, json.dumps(whole).encode())
        else:
            for headers, body in sent[0 if mode == "binary" else 1 :: 2]:
                assert headers["content-type" if mode == "structured" else "ce-id"]
                await post(cinema, headers, body.encode())
        taken = [row for row in cinema.rows("SELECT source, event_id FROM inbox") if row[1].startswith(mode)]
        assert {id_ for _, id_ in taken} == {f"{mode} {name}" for name in NAMES}
        assert all(source.endswith(f"/{id_}") for source, id_ in taken), taken


def attributes(name: str) -> dict[str, Any]:
    return {
        "id": name, "source": f"/{name}", "type": "cinema.playback.started", "subject": name,
        "datacontenttype": "application/json",
    }  # fmt: skip


async def post(cinema: Cinema, headers: dict[str, str], body: bytes) -> None:
    signed = EventSigner([EVENT_SECRET], cinema.rt.now).signed(headers, body)
    answer = await cinema.http.post(f"{cinema.url}/_door/playback/events", content=body, headers=signed)
    assert answer.status_code == 200, answer.text
