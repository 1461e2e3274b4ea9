"""How long a test waits for something that takes milliseconds on an idle machine.

The bound only ends a test that would otherwise hang: no test measures time with it. It is long because the suite also runs beside
other work, where each step may take twenty times longer. TEST_PATIENCE_S in the environment sets another bound, in seconds, for runs in which
tests are expected to wait in vain (tests/crash/mutations.py).
"""

from __future__ import annotations

import os
from typing import Final

PATIENCE_S: Final = float(os.environ.get("TEST_PATIENCE_S", "120"))
