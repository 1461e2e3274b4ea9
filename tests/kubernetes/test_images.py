"""Images are named after their ids and loaded once: what has not changed changes nothing in the cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.kubernetes import images as stage
from tests.kubernetes.machine import Machine

OURS = ("dev.local/boxoffice", "dev.local/boxoffice-neighbours")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """kind has the cluster; Docker builds the image whose id is in the file `id` and knows redis:7 besides."""
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("K8S_BIN", "")
    monkeypatch.delenv("BUILD_FLAGS", raising=False)
    for name, file in (("FOLDER", tmp_path), ("BUILT", tmp_path / "b.json"), ("LOADED", tmp_path / "l.json")):
        monkeypatch.setattr(stage, name, file)
    machine.has("kind", '[ "$1 $2" = "get clusters" ] && echo boxoffice; exit 0')
    machine.has(
        "docker",
        f"""case "$*" in
  version) exit 0;;
  build*) echo sha256:$(<{tmp_path}/id);;
  "image inspect"*dev.local*) echo sha256:$(<{tmp_path}/id);;
  "image inspect"*redis:7) echo sha256:redis;;
  "image inspect"*) exit 1;;
  inspect*) echo node-1;;
  exec*) echo "$(<{tmp_path}/in-node)";;
esac""",
    )
    return machine


def build(machine: Machine, id_: str, *in_node: str) -> list[str]:
    """What was loaded."""
    (machine.folder / "id").write_text(id_)
    told = {"images": [{"id": "sha256:x", "repoTags": [f"docker.io/library/{name}" for name in in_node]}]}
    (machine.folder / "in-node").write_text(json.dumps(told))
    stage.images()
    calls = machine.calls()
    saved = [call.split()[4:] for call in calls if call.startswith("docker save")]
    assert len(saved) == len([call for call in calls if call.startswith("kind load image-archive")])
    return saved[0] if saved else []


def test_a_tag_is_made_of_the_id_and_what_docker_has_is_loaded(machine: Machine) -> None:
    assert build(machine, "0123456789abcdef") == [*(f"{name}:0123456789ab" for name in OURS), "redis:7"]
    assert stage.built() == dict.fromkeys(OURS, "0123456789ab")


def test_the_second_time_nothing_is_loaded_and_a_changed_image_is(machine: Machine) -> None:
    first = build(machine, "0123456789abcdef")
    assert build(machine, "0123456789abcdef", *first) == []
    assert build(machine, "fedcba9876543210", *first) == [f"{name}:fedcba987654" for name in OURS]


def test_other_bytes_under_an_old_name_are_loaded_again(machine: Machine) -> None:
    first = build(machine, "0123456789abcdef")
    kept = json.loads(stage.LOADED.read_text())
    kept["images"]["redis:7"] = "sha256:older"
    stage.LOADED.write_text(json.dumps(kept))
    assert build(machine, "0123456789abcdef", *first) == ["redis:7"]


def test_a_new_node_is_given_everything(machine: Machine) -> None:
    first = build(machine, "0123456789abcdef")
    kept = json.loads(stage.LOADED.read_text())
    stage.LOADED.write_text(json.dumps(kept | {"node": "another"}))
    assert build(machine, "0123456789abcdef", *first) == first
