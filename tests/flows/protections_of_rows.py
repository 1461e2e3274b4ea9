"""What keeps one bad row, one lost payment or one gone provider from stopping others: `python -m tests.crash.mutations R`."""

from __future__ import annotations

from typing import Final

from tests.crash.protections import Edit, Mutation

BAD_ROW: Final = "tests/flows/test_one_bad_row.py::test_"
OFF: Final = "tests/flows/test_providers_turned_off.py::test_"
BATCH, ASIDE = "shared_lib/store/batch.py", "shared_lib/aside.py"
UNDECIDED, RECONCILE = "shared_lib/phases/undecided.py", "functions/reconcile/main.py"

MUTATIONS: Final = (
    Mutation(
        "R10",
        "the first failed item's error is raised",
        f"{BAD_ROW}a_subscription_that_cannot_be_decided_stops_no_other[zone]",
        (Edit(BATCH, "        return [Failed(error)]", "        raise error"),),
    ),
    Mutation(
        "R10",
        "what cannot be decided is not set aside",
        f"{BAD_ROW}a_charge_that_cannot_be_decided_stops_no_other[broken money]",
        (
            Edit(
                ASIDE,
                "        if not culprits:\n            return",
                "        if culprits or not culprits:\n            return",
            ),
        ),
    ),
    Mutation(
        "R10",
        "what is set aside is tried at every tick",
        f"{BAD_ROW}a_subscription_that_cannot_be_decided_stops_no_other[zone]",
        (
            Edit(
                UNDECIDED, "AND (next_try_at IS NULL OR next_try_at <= %s)", "AND (true OR next_try_at <= %s)"
            ),
        ),
    ),
    Mutation(
        "R10",
        "a stage that fails stops the next one",
        f"{BAD_ROW}a_stage_that_fails_stops_no_other_stage",
        (
            Edit(
                RECONCILE,
                '    except Exception:\n        log.exception("stage_failed"',
                '    except KeyError:\n        log.exception("stage_failed"',
            ),
        ),
    ),
    Mutation(
        "R10",
        "a webhook that cannot be settled is not kept",
        f"{BAD_ROW}a_webhook_that_cannot_be_settled_is_kept_and_applied_when_it_can",
        (Edit("functions/webhook/main.py", "    await rt.run(park_webhooks, received)\n", ""),),
    ),
    Mutation(
        "R10",
        "a bug in one provider call ends the batch",
        f"{BAD_ROW}a_bug_met_while_one_provider_call_is_made_stops_no_other",
        (Edit("shared_lib/asking.py", "    except Exception:", "    except ZeroDivisionError:"),),
    ),
    Mutation(
        "R11",
        "a payment whose provider is gone is asked about all the same",
        f"{BAD_ROW}a_charge_that_cannot_be_decided_stops_no_other[a provider that is gone]",
        (
            Edit(
                "shared_lib/phases/claims.py",
                "if self.providers is None or provider in self.providers:",
                "if provider:",
            ),
        ),
    ),
    Mutation(
        "R11",
        "a closed provider takes new orders",
        f"{OFF}a_closed_provider_takes_no_new_order",
        (
            Edit(
                "functions/create_order/main.py",
                "if command.provider in rt.settings.providers_closed:",
                "if False:",
            ),
        ),
    ),
    Mutation(
        "R11",
        "a renewal is opened although its provider is gone",
        f"{OFF}rows_of_a_provider_that_is_gone_wait_for_it_and_nothing_else_does",
        (
            Edit(
                "shared_lib/phases/renewals.py",
                "return self.providers is None or provider in self.providers",
                "return True",
            ),
        ),
    ),
    Mutation(
        "R11",
        "a refund is reserved although its provider is gone",
        f"{OFF}rows_of_a_provider_that_is_gone_wait_for_it_and_nothing_else_does",
        (
            Edit(
                "shared_lib/phases/refunds.py",
                "want.providers is not None and payment.provider not in want.providers",
                "False",
            ),
        ),
    ),
    Mutation(
        "R17",
        "only what a trial asks for is held against the minimum",
        f"{OFF}a_plan_whose_later_price_no_provider_takes_is_refused_before_its_trial",
        (
            Edit(
                "shared_lib/phases/shelf.py",
                "not terms.too_small(price.amount)",
                "not terms.too_small(amount)",
            ),
        ),
    ),
)
