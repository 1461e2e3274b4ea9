"""make up ARGS=--reload: a process whose code changes is started again.

It first answers the requests it has accepted; new ones get 503 from the gateway until it is ready again, which takes about
a second. The supervisor (processes.py) restarts it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

import watchfiles

from infra.local.console import Console
from shared_lib.contract.routes import DOORS

ROOT: Final = Path(__file__).resolve().parents[2]
WORKERS: Final = ("relay", "clock")
# Folder of the repository -> what runs the code in it. functions/NAME/ is the door NAME.
FOLDERS: Final = {
    "shared_lib": (*DOORS, *WORKERS),
    "infra/sandbox": ("sandbox",),
    "infra/standins": ("auth", "gateway"),
}


def parts_of(paths: Iterable[Path]) -> tuple[str, ...]:
    """The parts of the stack that run code of these files, given relative to the repository; sorted."""
    return tuple(sorted({part for path in paths for part in _parts_of(path)}))


def _parts_of(path: Path) -> Iterable[str]:
    match path.parts:
        case ["functions", door, _, *_] if door in DOORS:
            return (door,)
        case ["shared_lib", "contract", *_]:
            return (*FOLDERS["shared_lib"], "gateway")  # the gateway reads the routes
        case [top, *_] if top in FOLDERS:
            return FOLDERS[top]
        case [top, room, *_]:
            return FOLDERS.get(f"{top}/{room}", ())
        case _:
            return ()


async def reload_changed(
    root: Path, reload: Callable[[Collection[str]], list[str]], console: Console
) -> None:
    """Watch the code below `root` and call `reload` with the parts that run what changed, until canceled.

    Files that editors and Python write beside the code (swap files, __pycache__) are ignored.
    """
    watched = sorted({root / "functions", *(root / folder for folder in FOLDERS)})
    console.say(f"Watching {', '.join(str(path.relative_to(root)) for path in watched)} for changes.")
    async for changes in watchfiles.awatch(*watched, watch_filter=watchfiles.DefaultFilter()):
        paths = sorted({Path(path).relative_to(root) for _, path in changes})
        if parts := reload(parts_of(paths)):
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            console.warn(f"{paths[0]}{more} changed: starting {', '.join(parts)} again.")
