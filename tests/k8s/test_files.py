"""Every file of k8s/ takes part: one that no kustomization names is never applied, and nothing would say so."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no annotations

from tests.k8s.manifests import K8S, VARIANTS

pytestmark = pytest.mark.k8s

FILES_IN: Final = ("resources", "components", "configurations", "transformers", "generators", "replacements")
NOT_APPLIED: Final = ("versions.env", "README.md")


def left_out(folder: Path) -> list[str]:
    """The files below `folder` that no kustomization there names, and names that lead to no file."""
    named, wrong = set[Path](), []
    for kustomization in folder.rglob("kustomization.yaml"):
        named.add(kustomization)
        for name in names_in(yaml.safe_load(kustomization.read_text())):
            path = (kustomization.parent / name).resolve()
            named.add(path)
            if not path.exists():
                wrong.append(f"{kustomization.relative_to(folder)} names {name}, which is not there")
    files = {path.resolve() for path in folder.rglob("*") if path.is_file() and path.name not in NOT_APPLIED}
    unnamed = sorted(
        str(path.relative_to(folder.resolve())) for path in files - named - {one.resolve() for one in named}
    )
    return wrong + [f"{path} is named by no kustomization" for path in unnamed]


def names_in(kustomization: dict[str, Any]) -> Iterator[str]:
    for field in FILES_IN:
        yield from (one["path"] if isinstance(one, dict) else one for one in kustomization.get(field) or [])
    yield from (patch["path"] for patch in kustomization.get("patches") or [] if "path" in patch)
    for generator in (kustomization.get("configMapGenerator") or []) + (
        kustomization.get("secretGenerator") or []
    ):
        yield from generator.get("envs") or []
        yield from (re.sub(r"^[^=]*=", "", file) for file in generator.get("files") or [])


def test_every_file_is_named_by_a_kustomization() -> None:
    assert left_out(K8S) == []


def test_a_forgotten_file_and_a_wrong_name_are_seen(tmp_path: Path) -> None:
    copied = tmp_path / "k8s"
    shutil.copytree(K8S, copied)
    (copied / "base" / "doors" / "forgotten.yaml").write_text("kind: Service\n")
    (copied / "base" / "doors" / "renew.yaml").unlink()

    complaints = left_out(copied)

    assert "base/doors/forgotten.yaml is named by no kustomization" in complaints
    assert any("names doors/renew.yaml, which is not there" in one for one in complaints)
    assert len(complaints) == 2


def test_every_folder_that_can_be_rendered_is_a_variant_or_part_of_one() -> None:
    folders = {path.parent for path in K8S.rglob("kustomization.yaml")}
    rendered = {K8S / "overlays" / variant.partition("+")[0] for variant in VARIANTS} | {K8S / "base"}
    components = {
        path
        for path in folders
        if "kind: Component" in (path / "kustomization.yaml").read_text()
        and any(f"+{path.name}" in one for one in VARIANTS)
    }
    assert folders == rendered | components
