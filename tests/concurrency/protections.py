"""What keeps a title owned once, to be removed by `python -m tests.crash.mutations O`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

PLACES: Final = "tests/phases/test_places.py::test_"
CONTEXT: Final = "shared_lib/billing/context.py"

MUTATIONS: Final = (
    Mutation(
        "O",
        "two orders may hold one place",
        f"{PLACES}of_two_late_payments_on_two_connections_the_database_refuses_one",
        (
            Edit(
                "shared_lib/store/migrations/versions/0006_one_order_holds_a_title.py",
                "unique=True",
                "unique=False",
            ),
        ),
    ),
    Mutation(
        "O",
        "late money does not ask whether another order waits",
        f"{PLACES}late_money_never_takes_the_place_of_another_order",
        (Edit(CONTEXT, "return not waits", "return True"),),
    ),
    Mutation(
        "O",
        "late money does not ask whether the customer has it already",
        f"{PLACES}what_was_returned_can_be_bought_again_and_a_bounced_refund_gives_access_without_the_place",
        (Edit(CONTEXT, "if place in self.owned or (kind", "if (kind"),),
    ),
    Mutation(
        "O",
        "an open order is not the answer to another key",
        f"{PLACES}an_open_order_answers_every_other_key",
        (Edit("shared_lib/phases/orders.py", "        if order.holds:", "        if False:"),),
    ),
    Mutation(
        "O",
        "an order that ends unpaid keeps its place",
        f"{PLACES}late_money_takes_a_free_place_back",
        (Edit("shared_lib/billing/closing.py", "holds=False", "holds=order.holds"),),
    ),
    Mutation(
        "O",
        "requests of one customer do not take turns",
        f"{PLACES}requests_of_one_customer_on_two_connections_take_turns",
        (Edit("shared_lib/store/offers.py", "await tx.ask(_TURNS, [customers])", "pass"),),
    ),
    Mutation(
        "O",
        "a customer opens as many orders as they like",
        f"{PLACES}open_orders_of_one_customer_are_bounded_in_a_batch_and_across",
        (Edit("shared_lib/billing/orders.py", ">= request.open_max and", "> 10**6 and"),),
    ),
    Mutation(
        "O",
        "a card that must be confirmed cancels the order",
        "tests/flows/test_charging_on_session.py::"
        "test_a_card_that_must_be_confirmed_answers_with_a_page_for_the_same_order",
        (Edit("shared_lib/billing/links.py", "if not (waits and confirmable and", "if not (False and"),),
    ),
    Mutation(
        "O",
        "the page of a confirmation is not leased to the caller who asks for it",
        "tests/phases/test_confirming.py::"
        "test_the_caller_whose_card_must_be_confirmed_asks_for_a_page_under_a_lease_of_its_own",
        (
            Edit(
                "shared_lib/phases/payments.py",
                "case, leased = take_lease(case, payment)",
                "leased = payment",
            ),
        ),
    ),
)
