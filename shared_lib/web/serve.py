"""The door that FUNCTION names, for a server:
`FUNCTION=create_order uvicorn shared_lib.web.serve:app --http shared_lib.web.serve:OneWrite --lifespan on --ws none`.
"""

import gc
import os

# Until the door has settled down (asgi.py): imports leave no garbage, and looking for it is a tenth of their time.
gc.disable()

from shared_lib.web.asgi import Door  # noqa: E402
from shared_lib.web.one_write import OneWrite  # noqa: E402

__all__ = ["OneWrite", "app"]

app = Door(os.environ["FUNCTION"])
