"""What keeps offers honest, to be removed by `python -m tests.crash.mutations O`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

FREE: Final = "tests/offers/test_free_titles.py::test_"
MEMORY: Final = "tests/offers/test_refund_memory.py::test_"
CARDS: Final = "tests/offers/test_one_trial_per_card.py::test_"
TWO: Final = "tests/offers/test_second_person.py::test_"
TEXTS: Final = "tests/offers/test_given_texts.py::test_"

MUTATIONS: Final = (
    Mutation(
        "O",
        "a free title asks a provider",
        f"{FREE}a_currency_that_no_provider_takes_is_no_matter",
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
    Mutation(
        "O",
        "any text counts as an address",
        f"{TEXTS}an_address_that_cannot_be_used_is_none[a@[]",
        (Edit("shared_lib/web/auth.py", "mailable(_text(claims.email))", "_text(claims.email)"),),
    ),
    Mutation(
        "O",
        "a stored address is believed",
        f"{TEXTS}an_address_that_was_stored_before_it_was_looked_at_stops_nothing",
        (Edit("functions/notify/main.py", "address = mailable(claimed.email)", "address = claimed.email"),),
    ),
    Mutation(
        "O",
        "a title is sent as long as it is",
        f"{TEXTS}a_charge_of_a_saved_card_shortens_the_title_too",
        (Edit("shared_lib/domain/written.py", "if _units(line) <= units_max:", "if True:"),),
    ),
    Mutation(
        "O",
        "a return_url is as long as its customer likes",
        f"{TEXTS}the_narrowest_provider_sets_the_limit",
        (Edit("functions/create_order/main.py", "if len(return_url) > longest:", "if False:"),),
    ),
    Mutation(
        "O",
        "a return_url is sent as it came",
        f"{TEXTS}a_page_to_return_to_is_written_in_one_way[scheme]",
        (Edit("shared_lib/settings.py", "return origin + rest if origin", "return url if origin"),),
    ),
    Mutation(
        "O",
        "a customer calls a person",
        f"{TEXTS}a_value_of_the_customer_that_a_provider_refuses_all_the_same_calls_no_person",
        (
            Edit(
                "shared_lib/providers/sandbox_answers.py", "        kind = InputRejected\n", "        pass\n"
            ),
        ),
    ),
    Mutation(
        "O",
        "an operator gives back to themselves",
        f"{TWO}an_operator_gives_nothing_back_to_themselves",
        (
            Edit(
                "shared_lib/billing/refund_requests.py",
                "if want.by_operator and order.customer_id == want.requested_by:",
                "if False:",
            ),
        ),
    ),
    Mutation(
        "O",
        "with both scopes the operator's rules hold",
        f"{TWO}with_both_scopes_the_rules_of_customers_hold_for_ones_own_order",
        (Edit("shared_lib/billing/refund_requests.py", "want = replace(want, by_operator=False)", "pass"),),
    ),
    Mutation(
        "O",
        "one person approves their own wish",
        f"{TWO}above_the_limit_the_money_is_reserved_and_waits_for_a_second_operator",
        (
            Edit(
                "shared_lib/billing/approvals.py",
                "if want.approves and refund.requested_by == want.operator_id:",
                "if False:",
            ),
        ),
    ),
    Mutation(
        "O",
        "an amount is split to stay below the limit",
        f"{TWO}an_amount_is_not_split_to_stay_below_the_limit",
        (
            Edit(
                "shared_lib/billing/refund_requests.py",
                "payment.refund_reserved_minor + amount.minor > alone",
                "amount.minor > alone",
            ),
        ),
    ),
    Mutation(
        "O",
        "what waits for an approval is decided twice",
        f"{TWO}twenty_decisions_at_once_are_one",
        (
            Edit(
                "shared_lib/billing/approvals.py",
                "if refund.status is not RefundStatus.AWAITING_APPROVAL:",
                "if refund.decided_by == want.operator_id:",
            ),
        ),
    ),
    Mutation(
        "O",
        "a card has as many trials as it has accounts",
        f"{CARDS}fifty_accounts_at_once_with_one_card_get_one_trial",
        (
            Edit(
                "shared_lib/store/context.py",
                '[customer, f"card:{card}"] if card else',
                "[customer] if card else",
            ),
        ),
    ),
    Mutation(
        "O",
        "a refused trial is offered again",
        f"{CARDS}the_same_card_on_a_second_account_gets_no_trial_and_says_why",
        (
            Edit(
                "shared_lib/store/offers.py",
                "t.identity = 'customer:' || want.customer_id",
                "t.identity = want.customer_id",
            ),
        ),
    ),
    Mutation(
        "O",
        "a fingerprint is kept as the provider tells it",
        f"{CARDS}of_a_card_a_keyed_hash_is_kept_and_nothing_else",
        (
            Edit(
                "shared_lib/providers/cards.py",
                "method = replace(method, fingerprint=key)",
                "method = replace(method, fingerprint=method.fingerprint + key[:0])",
            ),
        ),
    ),
    Mutation(
        "O",
        "a trial that did not begin is used up",
        f"{CARDS}money_that_does_not_start_the_trial_does_not_use_it_up",
        (Edit("shared_lib/billing/payments.py", "case = case.record(TrialReleased(order.id))", "pass"),),
    ),
    Mutation(
        "O",
        "returns of one customer do not take turns",
        f"{MEMORY}with_one_left_two_returns_at_once_in_two_processes_are_one",
        (Edit("shared_lib/store/returns.py", "        await tx.ask(_TURNS, [ids])\n", ""),),
    ),
    Mutation(
        "O",
        "a title is returned again and again",
        f"{MEMORY}a_title_is_returned_once_whether_rented_or_bought",
        (
            Edit(
                "shared_lib/billing/returns.py",
                "if (order.customer_id, order.product_id) in self.titles:",
                "if False:",
            ),
        ),
    ),
    Mutation(
        "O",
        "a card that subscriptions need goes without a word",
        "tests/offers/test_cards_in_use.py::test_a_card_that_no_subscription_is_charged_to_goes_at_once",
        (Edit("shared_lib/phases/methods.py", "if not want.confirmed])", "if False])"),),
    ),
)
