"""One cluster for the session, with everything of the kind overlay on it; the seconds it measured stand at the end.

Missing tools end the run at once, with a sentence. Nothing is skipped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.kubectl import Kubectl
from tests.cluster.level3 import started
from tests.cluster.needs import Given, MissingError, found_tool, given
from tests.cluster.visitors import Visitors
from tests.cluster.watch import Watch

DEPLOY_S: Final = 900.0

_watch = Watch()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _watch.rows:
        terminalreporter.section("seconds on the cluster")
        for row in _watch.table():
            terminalreporter.write_line(row)


@pytest.fixture(scope="session")
def watch() -> Watch:
    return _watch


@pytest.fixture(scope="session")
def platform(watch: Watch) -> Iterator[Kubectl]:
    """A cluster with Knative Serving, ours or the one that is named. A TERM ends ours as Ctrl-C does."""
    try:
        what = given(os.environ, is_root=os.geteuid() == 0)
    except MissingError as missing:
        pytest.exit(str(missing), returncode=2)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield from _cluster(what, watch)
    finally:
        signal.signal(signal.SIGTERM, before)


def _cluster(what: Given, watch: Watch) -> Iterator[Kubectl]:
    if what.kubeconfig:
        yield Kubectl(Path(found_tool("kubectl", os.environ) or "kubectl"), what.kubeconfig.absolute())
        return
    try:
        with started(what, watch) as kubectl:
            yield kubectl
    except MissingError as missing:
        pytest.exit(str(missing), returncode=2)


@pytest.fixture(scope="session")
def kubectl(platform: Kubectl, watch: Watch) -> Kubectl:
    """The cluster with Boxoffice on it, brought there by the deploy stage that `make kind_up` runs."""
    with watch.measured("everything deployed and ready"):
        ended = platform.ours("-m", "infra.kubernetes", "deploy", within_s=DEPLOY_S)
    if ended.returncode:
        pytest.exit(f"Nothing to test, the deployment failed:\n{ended.stdout}\n{ended.stderr}", returncode=1)
    return platform


@pytest.fixture(scope="session")
def visitors(kubectl: Kubectl) -> Visitors:
    return Visitors(kubectl)
