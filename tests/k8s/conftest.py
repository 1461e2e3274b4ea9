"""The session's apiserver and the rendered overlays. What is missing ends the session at once, with a sentence for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.k8s.apiserver import Apiserver, started
from tests.k8s.manifests import Manifests, rendered
from tests.k8s.tools import missing


@pytest.fixture(scope="session")
def apiserver() -> Iterator[Apiserver]:
    with started() as server:
        yield server


@pytest.fixture
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Of the overlay that the test is parametrized with (indirect). Shared: plant faults in a copy."""
    return rendered(request.param)


def pytest_collection_finish(session: pytest.Session) -> None:
    ours = [item for item in session.items if item.get_closest_marker("k8s")]
    if not ours or session.config.option.collectonly:
        return
    needs_server = any("apiserver" in getattr(item, "fixturenames", ()) for item in ours)
    if found := missing(apiserver=needs_server):
        pytest.exit("Tests marked k8s cannot run.\n" + "\n".join(found), returncode=1)
