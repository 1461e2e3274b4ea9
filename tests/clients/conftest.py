"""The tools, and a cinema that a program of another process calls."""

from __future__ import annotations

import shutil

import pytest

from tests.clients.tools import Tools, installed


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Generators, compiler and fuzzer. The test is skipped when there is no Node."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("no Node: apt-get install nodejs npm")
    return installed()
