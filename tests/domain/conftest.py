from __future__ import annotations

from hypothesis import settings

# A busy machine is not a bug: no deadline. What failed once is remembered in .hypothesis and tried first.
settings.register_profile("domain", deadline=None, max_examples=150)
settings.load_profile("domain")
