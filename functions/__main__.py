"""A door as a process: `FUNCTION=create_order python -m functions`, with the options of uvicorn's command or its UVICORN_*.

It is that command with the options that every door has. Without WebSockets, which no door speaks, uvicorn imports no library
for them; an answer leaves with one system call (shared_lib/web/one_write.py).
"""

import gc
import sys
from typing import Final

# Until the door has settled down (shared_lib/web/asgi.py): imports leave no garbage, and looking for it is a tenth of their time.
gc.disable()

from uvicorn.main import main  # noqa: E402

OPTIONS: Final = (
    "--http",
    "shared_lib.web.serve:OneWrite",
    "--lifespan",
    "on",
    "--ws",
    "none",
    "--no-access-log",
)

if __name__ == "__main__":
    main(["shared_lib.web.serve:app", *OPTIONS, *sys.argv[1:]])
