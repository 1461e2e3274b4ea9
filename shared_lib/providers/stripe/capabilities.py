"""What Stripe supports, as data, and the version of its API that this client speaks."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from shared_lib.providers.base import Capabilities
from shared_lib.providers.stripe.amounts import MINIMUM_MINOR

API_VERSION: Final = "2026-10-28.endive"

CAPABILITIES: Final = Capabilities(
    idempotency_ttl=timedelta(hours=24),  # "at least", says Stripe
    currencies=frozenset(MINIMUM_MINOR),
    minimum_minor=MINIMUM_MINOR,
    # Stripe takes 100 calls a second in live mode, 25 in a sandbox; a charge takes about a second.
    max_concurrency=16,
    description_max=250,
    return_url_max=2048,
    reference_max=200,
)
