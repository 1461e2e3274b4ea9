"""Clients in TypeScript and Python that generators make of docs/openapi.json compile, and buy a film."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

from tests.clients.tools import HERE, OPENAPI, ROOT, Tools
from tests.kit.cinema import RETURN_URL, Cinema

# The generator's own client.py, which no document changes, passes on what it was given to __exit__.
MYPY = """
[mypy]
strict = True
[mypy-boxoffice_client.client]
disable_error_code = arg-type
"""


def environment(cinema: Cinema) -> dict[str, str]:
    return {"BOXOFFICE_URL": cinema.url, "BOXOFFICE_TOKEN": cinema.token(), "RETURN_URL": RETURN_URL}


async def assert_visited(cinema: Cinema, printed: str) -> None:
    """The program bought a film, could watch it, and returned it."""
    seen = json.loads(printed.splitlines()[-1])
    assert (seen["status"], seen["watched"], seen["left"]) == ("paid", ["prd_metropolis"], [])
    assert seen["refund"] in ("pending", "succeeded")
    assert (await cinema.get(f"/v1/orders/{seen['order']}"))["refunded"]["minor"] == 1299


async def test_a_typescript_client_compiles_with_the_minimal_body_and_buys_a_film(
    cinema: Cinema, tools: Tools, tmp_path: Path
) -> None:
    project = tools.project(tmp_path / "ts", HERE / "buy.ts")
    await tools.run(project, "openapi-typescript", OPENAPI, "--output", "api.ts")
    strict = (
        "--strict",
        "--exactOptionalPropertyTypes",
        "--noUncheckedIndexedAccess",
        "--module",
        "nodenext",
    )
    await tools.run(project, "tsc", *strict, "--target", "es2022", "--types", "node", "buy.ts")
    await assert_visited(cinema, await tools.run(project, "node", "buy.js", **environment(cinema)))


async def test_a_python_client_is_generated_without_a_warning_type_checks_and_buys_a_film(
    cinema: Cinema, tools: Tools, tmp_path: Path
) -> None:
    package = tmp_path / "boxoffice_client"
    made = await tools.run(
        tmp_path,
        "openapi-python-client",
        *("generate", "--path", OPENAPI, "--meta", "none", "--output-path", package, "--fail-on-warning"),
    )
    assert "warning" not in made.lower()
    (tmp_path / "mypy.ini").write_text(MYPY)
    shutil.copy(HERE / "buyer.py", tmp_path)
    environment_of_it = ("--python-executable", tools.bin / "python")
    await tools.run(tmp_path, sys.executable, "-m", "mypy", *environment_of_it, package.name, "buyer.py")
    program = await tools.run(
        tmp_path,
        *(tools.bin / "python", HERE / "buyer.py"),
        PYTHONPATH=str(tmp_path),
        **environment(cinema),
    )
    await assert_visited(cinema, program)


async def test_the_example_frontend_fits_the_interface(tools: Tools, tmp_path: Path) -> None:
    frontend = ROOT / "examples" / "frontend"
    project = tools.project(tmp_path / "frontend", frontend / "app.js")
    steps = re.findall(r"^npx (\S+ .*)$", (frontend / "README.md").read_text(), re.MULTILINE)
    assert len(steps) == 2
    for step in steps:
        command = step.replace("docs/openapi.json", str(OPENAPI)).replace("examples/frontend/", "")
        await tools.run(project, *command.split())
