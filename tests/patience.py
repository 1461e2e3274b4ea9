"""How long a test waits for something that takes milliseconds on an idle machine.

The bound only ends a test that would otherwise hang: no test measures time with it. It is long because the suite also runs beside
other work, where each step may take twenty times longer.
"""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 120.0
