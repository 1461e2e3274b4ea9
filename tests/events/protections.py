"""What keeps events honest, to be removed by `python -m tests.crash.mutations E`."""

from __future__ import annotations

from typing import Final

from tests.crash.protections import Edit, Mutation

PLAYING: Final = "tests/flows/test_playing.py::test_"
CHOICE: Final = "tests/domain/test_playing.py::test_"
RULES: Final = "shared_lib/domain/playing.py"
PLAYS: Final = "shared_lib/phases/playback.py"

MUTATIONS: Final = (
    Mutation(
        "E",
        "a play before its access is not noted",
        f"{PLAYING}a_slow_clock_starts_the_rental_all_the_same",
        (
            Edit(
                RULES,
                "    at = min(max(started_at, entitlement.starts_at), latest)",
                "    at = min(started_at, latest)",
            ),
        ),
    ),
    Mutation(
        "E",
        "a device that says 1970 ends a rental as it begins",
        f"{PLAYING}an_absurd_instant_starts_a_rental_that_lasts",
        (Edit(RULES, "        at = max(at, latest - TRAVEL_MAX)", "        pass"),),
    ),
    Mutation(
        "E",
        "one play starts whatever rental is there",
        f"{PLAYING}a_play_with_a_purchase_starts_no_rental",
        (Edit(RULES, "return min(opened, key=_preference)", "return max(opened, key=_preference)"),),
    ),
    Mutation(
        "E",
        "the grace of a plan is no access to a play",
        f"{PLAYING}a_plan_in_its_grace_is_played_and_no_rental_is_started",
        (Edit(PLAYS, "extended(entitlement, renewal).ends_at", "entitlement.ends_at"),),
    ),
    Mutation(
        "E",
        "a play that overtook its payment is lost",
        f"{PLAYING}a_play_before_its_payment_is_known_waits_for_it",
        (Edit(PLAYS, "result = PlayResult.PARKED", "pass"),),
    ),
    Mutation(
        "E",
        "a play uses a webhook's id up",
        f"{PLAYING}a_sender_of_plays_uses_no_webhooks_id_up",
        (
            Edit(
                PLAYS, "return inbox.PLAYS + self.source, self.event_id", "return self.source, self.event_id"
            ),
        ),
    ),
)
