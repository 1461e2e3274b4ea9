"""Knative gives a revision up once and for all; running the stage again tries again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.kubernetes import deploy
from tests.kubernetes.machine import Machine

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())["items"]


def door(name: str, ready: str, latest_ready: str | None) -> dict[str, Any]:
    (given_up,) = [
        one for one in RECORDED if (one["kind"], one["metadata"]["name"]) == ("Service", "door-outside")
    ]
    copy: dict[str, Any] = json.loads(json.dumps(given_up))
    copy["metadata"]["name"] = name
    copy["status"] |= {"latestCreatedRevisionName": f"{name}-00002", "latestReadyRevisionName": latest_ready}
    for condition in copy["status"]["conditions"]:
        condition["status"] = ready
    return copy


def test_only_what_knative_has_given_up_and_does_not_serve_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path)
    machine.has("kubectl", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("K8S_BIN", "")
    deploy._try_again(
        [
            door("well", "True", "well-00002"),
            door("trying", "Unknown", "trying-00001"),
            door("restarted", "False", "restarted-00002"),
            door("failed", "False", "failed-00001"),
            door("never", "False", None),
        ]
    )
    assert machine.calls() == [
        f"kubectl delete revision.serving.knative.dev {name}-00002 -n boxoffice --ignore-not-found"
        for name in ("failed", "never")
    ]
