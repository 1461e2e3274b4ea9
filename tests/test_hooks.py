"""The hooks of pre-commit check what continuous integration checks, with the tools of the virtualenv."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from pre_commit.clientlib import load_config

from tests.words import ROOT

CONFIG = ROOT / ".pre-commit-config.yaml"
CHECKS = ("lint", "types", "contracts", "docs-check")


def test_every_hook_runs_a_tool_of_the_virtualenv_and_none_is_fetched() -> None:
    repos = load_config(str(CONFIG))["repos"]

    assert [repo["repo"] for repo in repos] == ["local"]
    assert {hook["entry"].split("/")[0] for repo in repos for hook in repo["hooks"]} == {".venv"}
    assert "://" not in CONFIG.read_text()


def test_what_make_check_runs_has_a_hook() -> None:
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", *CHECKS, "READY="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    tools = set(re.findall(r"^\.venv/bin/(?:python -m )?(\S+(?: format| check)?)", printed, re.MULTILINE))
    hooks = [hook["entry"] for hook in load_config(str(CONFIG))["repos"][0]["hooks"]]

    assert len(tools) == 5
    assert [tool for tool in tools if not any(tool in entry for entry in hooks)] == []


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with this configuration, our virtualenv and the hooks installed, and one clean commit."""
    (tmp_path / ".venv").symlink_to((ROOT / ".venv").resolve())
    (tmp_path / ".gitignore").write_text(".venv\n")
    for name in (CONFIG.name, "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for path in ("tests/__init__.py", "tests/words.py", "shared_lib/__init__.py", "shared_lib/visible.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    _git(tmp_path, "init", "--initial-branch", "main")
    _git(tmp_path, "add", ".")
    subprocess.run([".venv/bin/pre-commit", "install"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("ANSWER = 42\n", set()),
        ("ANSWER  =  42\n", {"ruff format"}),
        ("import os\n", {"ruff check"}),
        ("# Nobody knows.\n", {"words, secrets, paths of one machine"}),
        ('KEY = "AKIA' + 'ABCDEFGHIJKLMNOP"\n', {"words, secrets, paths of one machine"}),
    ],
)
def test_a_commit_is_refused_for_what_continuous_integration_would_refuse(
    clone: Path, tmp_path_factory: pytest.TempPathFactory, text: str, failed: set[str]
) -> None:
    (clone / "benchmarks").mkdir()
    (clone / "benchmarks" / "__init__.py").write_text("")
    (clone / "benchmarks" / "new.py").write_text(text)
    _git(clone, "add", ".")

    # What looks at the whole program has none here.
    environment = {"SKIP": "types,contracts,pages", "PRE_COMMIT_HOME": str(tmp_path_factory.mktemp("home"))}
    commit = _git(clone, "commit", "-m", "a change", check=False, environment=environment)

    said = commit.stdout + commit.stderr
    assert set(re.findall(r"^(.+?)\.\.+Failed$", said, re.MULTILINE)) == failed, said
    assert (commit.returncode == 0) == (not failed), said


def _git(
    root: Path, *arguments: str, check: bool = True, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.test"]
    # A hook that runs these tests sets GIT_DIR and more, which would lead git elsewhere.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=root, env=inherited | (environment or {}), check=check, capture_output=True, text=True,
    )  # fmt: skip
