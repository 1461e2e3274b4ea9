"""What keeps strangers out and secrets in, to be removed by `python -m tests.crash.mutations X`."""

from __future__ import annotations

from typing import Final

from tests.crash.protections import Edit, Mutation

HTTP: Final = "shared_lib/http.py"
REDACTION: Final = "shared_lib/redaction.py"
SECRET: Final = "tests/edge/test_redaction.py::test_a_secret_is_hidden_wherever_it_stands"
LINE_ENDS: Final = "tests/edge/test_redaction.py::test_a_line_has_an_end_whatever_it_is_given"

MUTATIONS: Final = (
    Mutation(
        "X",
        "a pattern of the redaction reads on and fails",
        "tests/edge/test_patterns.py::test_every_pattern_is_linear_whatever_it_is_asked",
        (Edit(REDACTION, r"eyJ[\w-]{8,}(?:\.[\w-]*)*", r"eyJ[\w-]+\.[\w-]+\.[\w-]+"),),
    ),
    Mutation(
        "X",
        "an address may be as long as a server lets it",
        "tests/edge/test_paths_and_outages.py::test_an_address_has_an_end",
        (Edit(HTTP, "            check_url(request)\n", ""),),
    ),
    Mutation("X", "a long value is read to its end", LINE_ENDS, (Edit(REDACTION, "[:half]} [", "} ["),)),
    Mutation("X", "a value may be as deep as it likes", LINE_ENDS, (Edit(REDACTION, "depth >= DEPTH_MAX", "False"),)),
    Mutation("X", "a value may have as many items as it likes", LINE_ENDS, (Edit(REDACTION, "self.chars -= len(shown) + 8", "pass"),),
    ),
)  # fmt: skip
