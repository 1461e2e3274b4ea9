"""The example of the settings is complete, and holds nothing that is not one."""

from __future__ import annotations

import re
from pathlib import Path

from shared_lib.settings import Settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"


def test_the_example_names_every_setting_and_no_other() -> None:
    named = set(re.findall(r"^BOXOFFICE_([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}
