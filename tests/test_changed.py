"""`make test-changed` finds the tests that a change touches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.changed import changed_files, main, touched
from tests.kit.imports import ROOT, Imports, read_imports


@pytest.fixture(scope="module")
def imports() -> Imports:
    return read_imports()


@pytest.mark.parametrize(
    ("changed", "touching", "untouched"),
    [
        # imported
        ("infra/nginx/doors.py", "tests/compose/test_nginx.py", "tests/domain/test_money.py"),
        # through the fixtures of conftest.py, which no test imports
        ("infra/servers/moto.py", "tests/flows/test_mails.py", "tests/domain/test_money.py"),
        ("infra/kafka/broker.py", "tests/kafka/test_relay.py", "tests/domain/test_money.py"),
        # a door, imported by its name
        ("functions/account/main.py", "tests/flows/test_story.py", "tests/store/test_schema.py"),
        # started as a process, named in a string
        ("infra/local/up.py", "tests/local/test_demo.py", "tests/flows/test_story.py"),
        ("infra/sandbox/__main__.py", "tests/flows/test_story.py", "tests/domain/test_money.py"),
        # no Python: beside the module that reads it, named in a string, in a folder that is
        ("shared_lib/store/access/grants.sql", "tests/store/test_schema.py", "tests/domain/test_money.py"),
        ("docker-compose.yml", "tests/compose/test_compose_file.py", "tests/flows/test_story.py"),
        ("k8s/base/settings.env", "tests/local/test_kubernetes_files.py", "tests/domain/test_money.py"),
    ],
)
def test_a_change_touches_the_tests_that_lead_to_it(
    imports: Imports, changed: str, touching: str, untouched: str
) -> None:
    assert (ROOT / changed).exists()

    near = touched([changed], imports)

    assert touching in near
    assert untouched not in near


def test_the_nearest_tests_come_first(imports: Imports) -> None:
    near = touched(["shared_lib/domain/money.py", "tests/cli/test_visible.py"], imports)

    assert list(near.values()) == sorted(near.values())
    assert near["tests/cli/test_visible.py"] == 0
    assert near["tests/domain/test_money.py"] == 1


@pytest.mark.parametrize("path", ["pyproject.toml", "requirements-dev.lock", "tests/conftest.py"])
def test_what_all_tests_stand_on_touches_all_of_them(imports: Imports, path: str) -> None:
    assert touched([path], imports).keys() == set(imports.tests.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["tests/domain/test_money.py", "tests/auth/test_tokens.py", "tests/mail/test_render.py"]
)
def test_a_test_loads_no_module_that_the_graph_does_not_lead_to(
    imports: Imports, tmp_path: Path, path: str
) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing() -> None: ...\n")
    folder = path.rpartition("/")[0].replace("/", ".")
    always = _loaded_by("-p", "tests.conftest", "-p", f"{folder}.conftest", str(tmp_path / "test_nothing.py"))

    loaded = _loaded_by(path) - always

    assert loaded - imports.reached_from(path.removesuffix(".py").replace("/", ".")) == set()
    assert loaded


def _loaded_by(*arguments: str) -> set[str]:
    """Modules of ours that a run of pytest has loaded at its end."""
    script = (
        "import json, sys, pytest\n"
        "assert pytest.main(['-q', '-c', 'pyproject.toml', *sys.argv[1:]]) == 0\n"
        "print(json.dumps([name for name in sys.modules]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    names: list[str] = json.loads(run.stdout.splitlines()[-1])
    return {name for name in names if name.startswith(("shared_lib.", "functions.", "infra.", "tests."))}


def test_what_changed_is_counted_from_the_merge_base_to_the_working_tree(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.test"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init", "--initial-branch", "main")
    for name in ("kept.py", "committed.py", "edited.py"):
        (tmp_path / name).write_text("")
    git("add", ".")
    git("commit", "-m", "a start")
    git("switch", "-c", "work")
    (tmp_path / "committed.py").write_text("1")
    git("commit", "-a", "-m", "a change")
    git("switch", "main")
    (tmp_path / "kept.py").write_text("2")
    git("commit", "-a", "-m", "a change of another branch")
    git("switch", "work")
    (tmp_path / "edited.py").write_text("3")
    (tmp_path / "new.py").write_text("4")

    assert changed_files("main", tmp_path) == ["committed.py", "edited.py", "new.py"]


def test_help_explains_what_is_run_and_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    assert "merge base" in (told := capsys.readouterr().out)
    assert "make test" in told
