"""Each protection of money that was not asked for, as the text to remove and the test that must notice."""

from __future__ import annotations

from tests.kit.mutations import Edit, Mutation

OTHER = "tests/flows/test_other_money.py::test_"
PAYMENTS, EVIDENCE = "shared_lib/billing/payments.py", "shared_lib/billing/reports.py"
SURPLUS, HOOKS = "shared_lib/billing/surplus.py", "shared_lib/phases/webhooks.py"

BY_HAND = "tests/flows/test_dashboard_refunds.py::test_"
HELD = "tests/flows/test_held_surplus.py::test_"
SHORT = "tests/flows/test_shortening.py::test_"
ADOPTION, REFUNDS, REQUESTS = (
    f"shared_lib/billing/{name}.py" for name in ("adoption", "refunds", "refund_requests")
)

TELLING = "tests/flows/test_telling_auto_renew.py::test_"
NOTIFICATIONS, SUBSCRIPTION = "shared_lib/phases/notifications.py", "shared_lib/domain/subscription.py"

MUTATIONS = (
    Mutation(
        "M",
        "a change of auto_renew that leads back to what was mailed is mailed",
        f"{TELLING}many_toggles_are_one_mail_or_none[10-told0-pause0]",
        (Edit(NOTIFICATIONS, "found.auto_renew is not found.auto_renew_told", "True"),),
    ),
    Mutation(
        "M",
        "what a mail about auto_renew said is not noted",
        f"{TELLING}a_job_that_comes_again_is_one_mail",
        (Edit(NOTIFICATIONS, "auto_renew_told=found.auto_renew)", "version=found.version)"),),
    ),
    Mutation(
        "M",
        "a change of auto_renew is mailed although a newer one followed",
        f"{TELLING}many_toggles_are_one_mail_or_none[9-told1-pause1]",
        (Edit(SUBSCRIPTION, "self.auto_renew_changes == change", "True"),),
    ),
    Mutation(
        "M",
        "of a subscription that is about to end the change is mailed",
        f"{TELLING}of_a_subscription_that_ends_within_the_minute_only_the_end_is_told[False]",
        (Edit(SUBSCRIPTION, "and not ending", "and True"),),
    ),
    Mutation(
        "M",
        "a refund that we did not make is not adopted",
        f"{BY_HAND}a_full_one_ends_access_and_the_customer_hears_of_it",
        (Edit(ADOPTION, "if known is None and asked:", "if False:"),),
    ),
    Mutation(
        "M",
        "a complete refund by hand keeps access",
        f"{BY_HAND}parts_keep_access_until_they_add_up_to_the_whole",
        (Edit(ADOPTION, "RefundAccess.END_NOW if full", "RefundAccess.END_NOW if False"),),
    ),
    Mutation(
        "M",
        "a refund is adopted before its payment was looked at",
        f"{BY_HAND}a_capture_that_grew_unheard_and_went_back_by_hand_costs_no_access",
        (Edit(ADOPTION, "if known is None and asked:", "if known is None:"),),
    ),
    Mutation(
        "M",
        "money that the provider gave back is not looked for",
        f"{BY_HAND}a_lost_webhook_is_made_up_for_by_the_next_look_at_the_payment",
        (Edit(PAYMENTS, "if snapshot.refunded.minor <= settled.payment.refunded_minor:", "if True:"),),
    ),
    Mutation(
        "M",
        "a rejected refund is not looked for at the provider",
        f"{BY_HAND}a_surplus_returned_by_hand_is_returned_once",
        (
            Edit(REFUNDS, "if outcome is not LocalOutcome.REFUSED:", "if True:"),
            Edit(HOOKS, "if event.refund:", "if False:"),
        ),
    ),
    Mutation(
        "M",
        "a surplus that bounced is not returned again",
        f"{HELD}a_return_that_bounces_is_sent_again_later_each_time_and_then_given_up_and_shown",
        (Edit(REFUNDS, "return keep_returning(case, freed)", "return case"),),
    ),
    Mutation(
        "M",
        "a surplus that is still on its way may be returned twice",
        f"{HELD}an_operator_need_not_wait_for_the_next_try",
        (Edit(REQUESTS, "withdraw_waiting(case, payment).put(refund)", "case.put(refund)"),),
    ),
    Mutation(
        "M",
        "the period after a shortened one keeps the old rhythm",
        f"{SHORT}the_period_after_a_shortened_one_begins_where_access_ends",
        (Edit("shared_lib/domain/subscription.py", "> SHORTEST:", "> SHORTEST * 1000:"),),
    ),
    Mutation(
        "M",
        "shortening counts from what an earlier one left",
        f"{SHORT}shortening_twice_shortens_by_the_sum",
        (Edit("shared_lib/domain/order.py", "self.full_period_end or self.period_end", "self.period_end"),),
    ),
    Mutation(
        "M",
        "a title is shortened",
        f"{SHORT}a_title_cannot_be_shortened[prc_metropolis_rent]",
        (Edit(REQUESTS, "return order.kind is PriceKind.SUBSCRIPTION and", "return True or"),),
    ),
    Mutation(
        "M",
        "an update removes a card",
        "tests/flows/test_method_news.py::test_a_card_that_its_bank_renewed_is_charged_on",
        (Edit(HOOKS, "if event.method_gone:", "if True:"),),
    ),
    Mutation(
        "M",
        "what is being paid back is watched until it is paid",
        "tests/flows/test_giving_back.py::test_a_refund_that_takes_its_time_is_reserved_at_once_and_done_later",
        (Edit("shared_lib/queries/account.py", "AND r.access = 'end_now' AND NOT r.surplus", "AND false"),),
    ),
    Mutation(
        "M",
        "other money than was asked for is delivered for",
        f"{OTHER}money_that_was_not_asked_for_goes_back_and_gives_nothing[succeeded-1-reconcile]",
        (Edit(PAYMENTS, "as_asked and not payment.surplus and", "not payment.surplus and"),),
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
        (Edit(EVIDENCE, "and (payment.amount or snapshot.amount)", "and False"),),
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
                "return payment.provider_ref not in (None, snapshot.ref.provider_payment_id)",
                "return False",
            ),
        ),
    ),
    Mutation(
        "M",
        "a search that finds two looks at one",
        f"{OTHER}a_search_that_finds_two_delivers_once_and_returns_the_other",
        (Edit(PAYMENTS, "for another in outcome.others:", "for another in ():"),),
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
        (Edit("shared_lib/asking/payments.py", "or outcome.livemode is rt.settings.livemode", "or True"),),
    ),
)
