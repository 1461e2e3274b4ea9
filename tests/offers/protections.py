"""What keeps offers honest, to be removed by `python -m tests.crash.mutations O`."""

from __future__ import annotations

from typing import Final

from tests.crash.protections import Edit, Mutation

FREE: Final = "tests/offers/test_free_titles.py::test_"

MUTATIONS: Final = (
    Mutation(
        "O",
        "a free title asks a provider",
        f"{FREE}a_provider_that_is_down_is_no_matter",
        (
            Edit(
                "shared_lib/domain/catalog.py",
                "return self.kind is not PriceKind.SUBSCRIPTION and not self.amount",
                "return False",
            ),
        ),
    ),
    Mutation(
        "O",
        "a plan for nothing is given away without a card",
        f"{FREE}a_subscription_for_nothing_still_has_its_card_verified[free plan]",
        (
            Edit(
                "shared_lib/domain/catalog.py",
                "return self.kind is not PriceKind.SUBSCRIPTION and not self.amount",
                "return not self.amount",
            ),
        ),
    ),
)
