"""`make cluster_test` without what it needs ends at once, with a sentence that names what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.needs import SCRIPTS, Given, MissingError, given

ROOT: Final = Path(__file__).parents[1]


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    return _executables(tmp_path / "scripts", *SCRIPTS)


def _executables(folder: Path, *names: str, ends_with: int = 0) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\nexit {ends_with}\n")
        (folder / name).chmod(0o755)
    return folder


def test_nothing_given_names_both_ways() -> None:
    with pytest.raises(
        MissingError, match=r"Neither K8S_KUBECONFIG nor K8S_TOOLS is set\. .*kubectl.*docker"
    ):
        given({}, is_root=True)


def test_a_kubeconfig_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="absent, which K8S_KUBECONFIG names, is no file"):
        given({"K8S_KUBECONFIG": str(tmp_path / "absent"), "PATH": ""}, is_root=True)


def test_a_kubeconfig_without_kubectl_says_so(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").touch()
    with pytest.raises(MissingError, match="kubectl is neither on PATH nor in K8S_BIN"):
        given({"K8S_KUBECONFIG": str(tmp_path / "kubeconfig"), "PATH": ""}, is_root=False)


def test_a_kubeconfig_needs_no_root_and_no_docker(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").touch()
    variables = {
        "K8S_KUBECONFIG": str(tmp_path / "kubeconfig"),
        "K8S_BIN": str(_executables(tmp_path / "bin", "kubectl")),
    }
    assert given(variables, is_root=False) == Given(
        kubeconfig=tmp_path / "kubeconfig", scripts=None, images=None
    )


@pytest.mark.parametrize("missing", SCRIPTS)
def test_a_folder_of_scripts_that_lacks_one_is_named_with_it(scripts: Path, missing: str) -> None:
    (scripts / missing).unlink()
    with pytest.raises(MissingError, match=f"which K8S_TOOLS names, has no {missing}"):
        given({"K8S_TOOLS": str(scripts)}, is_root=True)


def test_scripts_need_root(scripts: Path) -> None:
    with pytest.raises(MissingError, match="need root"):
        given({"K8S_TOOLS": str(scripts)}, is_root=False)


def test_scripts_need_docker_or_images(scripts: Path, tmp_path: Path) -> None:
    variables = {"K8S_TOOLS": str(scripts), "PATH": ""}
    with pytest.raises(MissingError, match="no docker to build the images, and K8S_IMAGES is not set"):
        given(variables, is_root=True)
    empty = tmp_path / "images"
    empty.mkdir()
    with pytest.raises(MissingError, match=r"which K8S_IMAGES names, holds no \*\.tar"):
        given(variables | {"K8S_IMAGES": str(empty)}, is_root=True)
    (empty / "one.tar").touch()
    assert given(variables | {"K8S_IMAGES": str(empty)}, is_root=True).images == empty


def test_docker_must_answer(scripts: Path, tmp_path: Path) -> None:
    mute = _executables(tmp_path / "mute", "docker", ends_with=1)
    with pytest.raises(MissingError, match="Docker does not answer"):
        given({"K8S_TOOLS": str(scripts), "PATH": str(mute)}, is_root=True)
    well = _executables(tmp_path / "well", "docker")
    found = given({"K8S_TOOLS": str(scripts), "PATH": str(well)}, is_root=True)
    assert found == Given(kubeconfig=None, scripts=scripts, images=None)


def test_the_run_itself_fails_with_the_sentence_and_skips_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cluster"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2, said
    assert "Neither K8S_KUBECONFIG nor K8S_TOOLS is set." in said
    assert "skipped" not in said
    assert "passed" not in said


def test_every_test_of_the_cluster_is_marked_so_that_it_runs_only_when_asked_for() -> None:
    files = sorted((ROOT / "tests" / "cluster").glob("test_*.py"))
    assert len(files) >= 3
    assert [
        file.name for file in files if "\npytestmark = pytest.mark.cluster\n" not in file.read_text()
    ] == []
