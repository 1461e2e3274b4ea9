from __future__ import annotations

from tests.workers.conftest import open_runtime, rt

__all__ = ["open_runtime", "rt"]
