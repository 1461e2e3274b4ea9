"""What keeps one bad row, one lost payment or one gone provider from stopping others: `python -m tests.crash.mutations R`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

BAD_ROW: Final = "tests/flows/test_one_bad_row.py::test_"
OFF: Final = "tests/flows/test_providers_turned_off.py::test_"
LATE: Final = "tests/flows/test_paying_late.py::test_"
RENEWALS, ASKING = "shared_lib/billing/renewals.py", "shared_lib/asking/payments.py"
LOST: Final = "tests/flows/test_lost_at_the_provider.py::test_"
BATCH, ASIDE = "shared_lib/store/batch.py", "shared_lib/aside.py"
DUE, RECONCILE = "shared_lib/queries/due.py", "functions/reconcile/main.py"

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
        f"{BAD_ROW}a_subscription_that_cannot_be_decided_stops_no_other[zone]",
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
        (Edit(DUE, "AND (next_try_at IS NULL OR next_try_at <= %s)", "AND (true OR next_try_at <= %s)"),),
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
        (
            Edit(
                "shared_lib/asking/payments.py",
                "    except Exception as error:",
                "    except ZeroDivisionError as error:",
            ),
        ),
    ),
    Mutation(
        "R11",
        "a payment whose provider is gone is asked about all the same",
        f"{BAD_ROW}a_charge_that_cannot_be_decided_stops_no_other[a provider that is gone]",
        (
            Edit(
                "shared_lib/billing/leasing.py",
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
                "shared_lib/billing/due.py",
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
                "shared_lib/billing/refund_requests.py",
                "want.providers is not None and provider not in want.providers",
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
                "shared_lib/billing/offers.py",
                "not terms.too_small(price.amount)",
                "not terms.too_small(amount)",
            ),
        ),
    ),
    Mutation(
        "R17",
        "a refused charge is tried without a limit",
        f"{LATE}a_charge_that_is_always_refused_ends_in_dunning_with_a_link[InvalidRequest]",
        (Edit(RENEWALS, "TRIES_MAX = 5", "TRIES_MAX = 5_000"),),
    ),
    Mutation(
        "R17",
        "an amount below the minimum is sent all the same",
        f"{LATE}an_amount_below_the_minimum_is_no_endless_renewal",
        (
            Edit(
                ASKING,
                "if payment.amount.minor < can.minimum_minor",
                "if payment.amount.minor < 0 * can.minimum_minor",
            ),
        ),
    ),
    Mutation(
        "R17",
        "a method that the provider does not know is a refusal like any other",
        f"{LATE}a_method_that_the_provider_does_not_know_brings_the_link_at_once",
        (Edit(ASKING, "        return LocalOutcome.METHOD_UNKNOWN", "        return LocalOutcome.REFUSED"),),
    ),
    Mutation(
        "R17b",
        "only a demand for authentication brings a link",
        f"{LATE}a_hard_decline_brings_a_link_at_once_and_paying_it_keeps_the_new_card",
        (
            Edit(
                RENEWALS,
                "return (case if retry_at else links.open_link(case, order))",
                "return (links.open_link(case, order) if kind is DeclineKind.ACTION_REQUIRED else case)",
            ),
        ),
    ),
    Mutation(
        "R17b",
        "a link that expired is not followed by another",
        f"{LATE}the_link_works_on_any_day_until_the_end_and_there_are_never_two",
        (Edit(RENEWALS, "        return _link_ended(case, order, payment)", "        return case"),),
    ),
    Mutation(
        "R17b",
        "after a link the saved method is charged again",
        "tests/flows/test_dunning.py::test_a_link_that_expires_is_followed_by_another_and_charges_nothing",
        (
            Edit(
                "shared_lib/billing/due.py",
                "if links.is_customers_turn(case, order):",
                "if not order:",
            ),
        ),
    ),
    Mutation(
        "R18",
        "what is past its time is asked about at every tick",
        f"{LOST}a_lost_payment_past_its_time_is_asked_about_ever_less_and_then_closed",
        (
            Edit(
                "shared_lib/domain/schedule.py",
                "return now + min(max(now - max(ends), timedelta(minutes=1)), _PENDING[-1])",
                "return now",
            ),
        ),
    ),
    Mutation(
        "R18",
        "a payment that its provider has lost is only unanswered",
        f"{LOST}an_order_whose_payment_is_lost_can_be_canceled[25]",
        (
            Edit(
                ASKING,
                "        return await _lost(provider, leased)",
                "        return LocalOutcome.TIMED_OUT",
            ),
        ),
    ),
    Mutation(
        "R18",
        "a refund that its provider has lost has no end",
        f"{LOST}a_refund_that_is_lost_ends_as_failed_with_an_alarm",
        (
            Edit(
                ASKING,
                "        if age > _key_lives(provider):\n            return LocalOutcome.NEVER_HAPPENED\n        if",
                "        if",
            ),
        ),
    ),
    Mutation(
        "R10",
        "a row of the outbox that cannot be read ends the round",
        "tests/workers/test_relay.py::test_a_row_that_cannot_be_read_is_a_dead_letter_and_all_others_are_delivered",
        (
            Edit(
                "shared_lib/workers/unreadable.py",
                "        if not _is_about_a_value(error):\n            raise\n        return await _around",
                "        if error:\n            raise\n        return await _around",
            ),
        ),
    ),
    Mutation(
        "R10",
        "a tick of reconcile does one batch, whatever is due",
        "tests/flows/test_a_long_backlog.py::test_a_tick_asks_about_every_payment_that_is_due",
        (Edit(RECONCILE, "if 2 * done < stage.batch_max or", "if stage.batch_max or"),),
    ),
)
