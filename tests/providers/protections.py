"""What keeps clients of providers honest, to be removed by `python -m tests.crash.mutations C`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

_STRIPE: Final = "shared_lib/providers/stripe"
_OWN: Final = "tests/providers/test_stripe.py::test_"
_PAYMENTS: Final = "tests/providers/test_contract_payments.py::test_"
_REFUNDS: Final = "tests/providers/test_contract_refunds_webhooks.py::test_"


def _removed(what: str, test: str, file: str, old: str, new: str) -> Mutation:
    return Mutation("C", what, test, (Edit(f"{_STRIPE}/{file}", old, new),))


MUTATIONS: Final = (
    _removed(
        "a signature of the future is taken",
        f"{_OWN}a_signature_is_fresh_for_five_minutes_in_both_directions",
        "webhooks.py",
        "abs(received_at - datetime.fromtimestamp(stamp, UTC))",
        "(received_at - datetime.fromtimestamp(stamp, UTC))",
    ),
    _removed(
        "signatures of other schemes count",
        f"{_REFUNDS}a_forged_webhook_is_rejected",
        "webhooks.py",
        'for name, _, value in parts if name == "v1"]',
        'for name, _, value in parts if name in ("v0", "v1")]',
    ),
    _removed(
        "an intent is settled beside its session",
        f"{_OWN}each_event_says_what_to_do",
        "webhooks.py",
        "if _is_ours(about) and not of_a_page(about):",
        "if _is_ours(about):",
    ),
    _removed(
        "an answer about another order is settled",
        f"{_PAYMENTS}our_payment_for_another_order_is_refused",
        "answers.py",
        '    same("order_id", asked.order_id, answered.order_id)\n',
        "",
    ),
    _removed(
        "a payment that may be beyond the lists is called missing",
        f"{_OWN}a_payment_beyond_the_lists_is_searched_for_and_never_called_missing_by_mistake",
        "lists.py",
        "if not found and Reach.CUT_OFF in reach:",
        "if not found and not reach:",
    ),
    _removed(
        "a page is listed twice",
        f"{_OWN}a_page_is_listed_once",
        "lists.py",
        "                if not of_a_page(body):\n                    yield",
        "                if True:\n                    yield",
    ),
    _removed(
        "an over-refund without a code counts as our bug",
        f"{_REFUNDS}partial_refunds_add_up_to_the_whole_and_not_a_cent_more",
        "errors.py",
        " or _param(exchange) in _REFUNDED",
        "",
    ),
    _removed(
        "codes go before Stripe's advice",
        f"{_OWN}advice_goes_before_codes_and_codes_before_the_network",
        "declines.py",
        "    if advised is not None:\n        return advised\n",
        "",
    ),
    _removed(
        "a card that belongs to no customer is kept",
        f"{_PAYMENTS}a_method_is_not_saved_unless_asked_for",
        "objects.py",
        "    if customer is None:\n        return None\n",
        "",
    ),
    Mutation(
        "C",
        "production takes test keys",
        "tests/providers/test_stripe_settings.py::test_a_key_is_used_where_it_belongs",
        (Edit("shared_lib/provider_settings.py", "if key and production and not live:", "if False:"),),
    ),
)
