"""The running stack leaves its settings for shells: exact, whatever they contain, and for their owner alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from infra.local.home import Home


def test_a_shell_reads_back_what_was_kept(tmp_path: Path) -> None:
    kept = {
        "BOXOFFICE_EVENT_ROUTES": json.dumps({"billing.": "http://127.0.0.1:1/x y"}),
        "BOXOFFICE_MAIL_FROM": "Boxoffice <it's $HOME `whoami`>",
    }
    Home(tmp_path).keep_settings(kept)
    path = tmp_path / "settings.env"
    assert path.stat().st_mode & 0o777 == 0o600
    script = f"set -a; source '{path}'; exec env -0"
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env={}).stdout
    found = dict(line.split("=", 1) for line in shown.split("\0") if line)
    assert {name: found[name] for name in kept} == kept
