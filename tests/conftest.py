"""The fixtures of every test are those of the plugins below. CONTRIBUTING.md lists them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest

# Left out, it is production, which refuses the sandbox. Processes that tests start inherit it.
os.environ["BOXOFFICE_ENVIRONMENT"] = "test"

pytest_plugins = [
    "tests.kit.cinema_fixtures",
    "tests.kit.kafka_fixtures",
    "tests.kit.runtime_fixtures",
    "tests.kit.selection",
    "tests.kit.server_fixtures",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium for Playwright's `executable_path`; the test is skipped when there is none."""
    path = _chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM")
    return path


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and _chromium() is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In continuous integration nothing is skipped in silence: a skip is a failure that says why."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where everything must run: {report.longreprtext}"
    return report


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
