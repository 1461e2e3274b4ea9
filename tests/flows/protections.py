"""Each protection of money that was not asked for, as the text to remove and the test that must notice."""

from __future__ import annotations

from tests.crash.protections import Edit, Mutation

OTHER = "tests/flows/test_other_money.py::test_"
COLLECTING, EVIDENCE = "shared_lib/phases/collecting.py", "shared_lib/phases/evidence.py"
SURPLUS, HOOKS = "shared_lib/phases/surplus.py", "shared_lib/phases/webhooks.py"

MUTATIONS = (
    Mutation(
        "M",
        "other money than was asked for is delivered for",
        f"{OTHER}money_that_was_not_asked_for_goes_back_and_gives_nothing[succeeded-1-reconcile]",
        (Edit(COLLECTING, "wanted = as_asked and not", "wanted = not"),),
    ),
    Mutation(
        "M",
        "money on a payment that its provider calls expired is ignored",
        f"{OTHER}money_that_was_not_asked_for_goes_back_and_gives_nothing[expired-1299-reconcile]",
        (
            Edit(
                EVIDENCE, "    if not captured:\n        nothing_taken", "    if True:\n        nothing_taken"
            ),
        ),
    ),
    Mutation(
        "M",
        "success without money is success",
        f"{OTHER}succeeded_with_nothing_captured_is_no_money",
        (Edit(EVIDENCE, "and (payment.amount or said.amount)", "and False"),),
    ),
    Mutation(
        "M",
        "odd money is believed from a webhook alone",
        f"{OTHER}a_signed_webhook_alone_proves_no_odd_money",
        (Edit(EVIDENCE, "Proof.OTHER_MONEY if asked else Proof.CONTRADICTION", "Proof.OTHER_MONEY"),),
    ),
    Mutation(
        "M",
        "captures that grow are not seen",
        f"{OTHER}captures_that_grow_are_booked_and_what_no_order_asked_for_goes_back[1299-2598]",
        (Edit(EVIDENCE, "Proof.MORE_MONEY if asked else Proof.CONTRADICTION", "Proof.OLD_NEWS"),),
    ),
    Mutation(
        "M",
        "the provider's reference is not compared",
        f"{OTHER}a_second_payment_that_came_to_nothing_does_not_touch_ours[canceled]",
        (
            Edit(
                EVIDENCE,
                "return payment.provider_ref not in (None, said.ref.provider_payment_id)",
                "return False",
            ),
        ),
    ),
    Mutation(
        "M",
        "a search that finds two looks at one",
        f"{OTHER}a_search_that_finds_two_delivers_once_and_returns_the_other",
        (Edit(COLLECTING, "for another in observed.said.others:", "for another in ():"),),
    ),
    Mutation(
        "M",
        "a webhook of another mode is believed",
        f"{OTHER}news_of_another_mode_is_parked_and_delivers_nothing",
        (Edit(HOOKS, "if item.other_mode:", "if False:"),),
    ),
    Mutation(
        "M",
        "an answer of another mode is believed",
        f"{OTHER}an_answer_of_another_mode_is_not_believed[checkout.create]",
        (Edit("shared_lib/asking.py", "or said.livemode is rt.settings.livemode", "or True"),),
    ),
)
