"""The door that FUNCTION names, for a server: `python -m functions`, or
`uvicorn shared_lib.web.serve:app --http shared_lib.web.serve:OneWrite --lifespan on --ws none`.
"""

import gc
import os

gc.disable()  # as in functions/__main__.py, for another server

from shared_lib.web.asgi import Door  # noqa: E402
from shared_lib.web.one_write import OneWrite  # noqa: E402

__all__ = ["OneWrite", "app"]

app = Door(os.environ["FUNCTION"])
