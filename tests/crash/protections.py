"""Each protection against a crash window, as the text to remove and the test that must notice."""

from __future__ import annotations

from tests.kit.mutations import Edit, Mutation

RENEWALS = "tests/crash/test_renewals.py::test_"
SILENCE = "tests/crash/test_silence.py::test_"
ORDERS = "tests/crash/test_orders.py::test_"
COMMIT = "tests/crash/test_commit.py::test_"
WEBHOOKS = "tests/crash/test_webhooks.py::test_"
REFUNDS = "tests/crash/test_refunds.py::test_"
KAFKA = "tests/kafka/test_"


KEYS, ASKING = "shared_lib/store/keys.py", "shared_lib/asking/payments.py"
PAYMENTS, LEASING = "shared_lib/billing/payments.py", "shared_lib/billing/leasing.py"
HOOKS, RETURNS = "shared_lib/phases/webhooks.py", "shared_lib/billing/refund_requests.py"
REFUND, WEBHOOK_DOOR = "shared_lib/domain/refund.py", "functions/webhook/main.py"
SCHEMA, PROMISES = (
    f"shared_lib/store/migrations/versions/{name}.sql" for name in ("0001_the_first_schema", "0002_promises")
)
STARTS_ANEW = Edit(KEYS, "return Resume(resource_id)", "return FRESH")

MUTATIONS = (
    Mutation(
        "W2",
        "a connection that broke is not tried again",
        f"{COMMIT}w2_the_first_commit_never_arrived_and_is_made_again",
        (
            Edit(
                "shared_lib/store/batch.py",
                "RECONNECT_DELAYS_S = (0.05, 0.2, 0.8)",
                "RECONNECT_DELAYS_S = ()",
            ),
        ),
    ),
    Mutation(
        "W2",
        "a key whose owner is gone starts again",
        f"{COMMIT}w2_the_key_of_a_lost_answer_stays_with_its_order_although_the_title_can_be_bought_again",
        (STARTS_ANEW,),
    ),
    Mutation(
        "W3",
        "the lease of a dead process never ends",
        f"{RENEWALS}w3_w4_w5_a_killed_charge_is_taken_over_and_taken_once[open_renewals:after_commit]",
        (Edit(LEASING, "payment.lease.is_held(case.now)", "payment.lease.until"),),
    ),
    Mutation(
        "W4",
        "the provider is not asked first, and each lease has a key of its own",
        f"{RENEWALS}w3_w4_w5_a_killed_charge_is_taken_over_and_taken_once[charge:after]",
        (
            Edit(ASKING, "found = await _look_up(provider, leased)", "found = None"),
            Edit(
                ASKING,
                "description=description,\n        idempotency_key=payment.id,",
                'description=description,\n        idempotency_key=f"{payment.id}-{payment.lease.fence}",',
            ),
        ),
    ),
    Mutation(
        "W4",
        "what an old lease did not hear is believed",
        f"{RENEWALS}w4_silence_under_an_old_lease_means_nothing",
        (Edit(PAYMENTS, "report.fence not in (None, payment.lease.fence)", "report.fence is ..."),),
    ),
    Mutation(
        "W5",
        "events are not written in the transaction of the outcome",
        f"{ORDERS}w5_killed_after_the_outcome_is_committed_the_next_relay_tells_it",
        (
            Edit(
                "shared_lib/store/cases.py",
                "outbox.publish(self._tx, events)",
                "outbox.publish(self._tx, [])",
            ),
        ),
    ),
    Mutation(
        "W6",
        "a notification is not claimed by its event",
        f"{ORDERS}w6_a_relay_killed_between_delivery_and_delete_tells_again_and_the_customer_hears_once",
        (
            Edit(
                "functions/notify/main.py",
                "event_id=event.id,\n        event_type=event.type,",
                'event_id=f"{event.id}{rt.now()}",\n        event_type=event.type,',
            ),
        ),
    ),
    Mutation(
        "W7",
        "a webhook about what we do not know is acknowledged and forgotten",
        f"{WEBHOOKS}w7_a_webhook_before_our_first_commit_is_visible_is_kept_and_applied_later",
        (
            Edit(
                HOOKS,
                "if report else (WebhookResult.PARKED, context)",
                "if report else (WebhookResult.IGNORED, context)",
            ),
        ),
    ),
    Mutation(
        "W8",
        "news that change nothing move the payment all the same",
        f"{WEBHOOKS}w8_the_same_webhook_again_and_again_changes_nothing_even_when_the_inbox_forgot_it",
        (Edit(PAYMENTS, "if status is not payment.status:\n        case =", "if status:\n        case ="),),
    ),
    Mutation(
        "W9",
        "an older pending is believed",
        f"{WEBHOOKS}w9_an_older_pending_does_not_undo_a_refund_that_succeeded",
        (
            Edit(
                REFUND,
                "(_S.SUCCEEDED, _E.WENT_PENDING): _S.SUCCEEDED",
                "(_S.SUCCEEDED, _E.WENT_PENDING): _S.PENDING",
            ),
        ),
    ),
    Mutation(
        "W9",
        "a contradiction is believed without asking",
        f"{WEBHOOKS}w9_a_contradiction_is_believed_only_as_the_provider_tells_it_when_asked",
        (
            Edit(
                REFUND,
                "(_S.FAILED, _E.FAILED): _S.FAILED,",
                "(_S.FAILED, _E.FAILED): _S.FAILED, (_S.FAILED, _E.SUCCEEDED): _S.SUCCEEDED,",
            ),
        ),
    ),
    Mutation(
        "W10",
        "a webhook is acknowledged before its commit",
        f"{WEBHOOKS}w10_a_webhook_is_not_acknowledged_while_its_commit_waits",
        (
            Edit(
                WEBHOOK_DOOR,
                "import structlog\n",
                "import asyncio\n\nimport structlog\n",
            ),
            Edit(
                WEBHOOK_DOOR,
                "results = [await settle(rt, provider, event) for event in events]",
                "rt.keep('tasks', list).extend(asyncio.ensure_future(settle(rt, provider, e)) for e in events)\n"
                "    results = ['later']",
            ),
        ),
    ),
    Mutation(
        "W11",
        "a refund reserves nothing",
        f"{REFUNDS}w11_a_killed_refund_is_finished_once_and_leaves_no_room_for_another[open_refunds:after_commit-1-0]",
        (
            Edit(
                RETURNS,
                "replace(payment, refund_reserved_minor=reserved), refund",
                "refund",
            ),
        ),
    ),
    Mutation(
        "W12",
        "what is being sent counts as not paid",
        f"{REFUNDS}w12_a_refund_waits_until_a_charge_that_may_have_happened_is_known",
        (
            Edit(
                "shared_lib/billing/refundable.py",
                "undecided = (PaymentStatus.SENDING, PaymentStatus.UNKNOWN)",
                "undecided = ()",
            ),
        ),
    ),
    Mutation(
        "W13",
        "the opt-out is not looked at again before sending",
        f"{RENEWALS}w13_opened_and_killed_then_cancel_and_the_charge_is_never_sent",
        (
            Edit(
                LEASING,
                "needed = waits and reason_of(order).may_collect(case, order, payment)",
                "needed = waits",
            ),
        ),
    ),
    Mutation(
        "W13",
        "late money of a canceled renewal is kept",
        f"{RENEWALS}w13_sent_then_cancel_and_the_charge_finishes_and_is_returned_by_itself",
        (
            Edit(
                PAYMENTS,
                "wanted = may_be_paid and reason_of(order).may_deliver(case, order, payment, context)",
                "wanted = True",
            ),
        ),
    ),
    Mutation(
        "W14",
        "no lock, no unique period, no exclusion of overlapping periods",
        f"{RENEWALS}w14_a_tick_in_the_middle_of_another_ones_transaction_charges_nothing_more",
        (
            Edit("shared_lib/store/rows.py", " FOR UPDATE SKIP LOCKED", ""),
            Edit(SCHEMA, "CREATE UNIQUE INDEX orders_one_per_period", "CREATE INDEX orders_one_per_period"),
            Edit(
                PROMISES,
                "subscription_id IS NOT NULL AND period_n IS NOT NULL",
                "subscription_id IS NOT NULL AND period_n < 0",
            ),
        ),
    ),
    Mutation(
        "W15",
        "a retry does not look whether the customer has a link",
        f"{SILENCE}w15_while_the_customer_has_a_link_the_renewal_does_not_charge",
        (
            Edit(
                "shared_lib/billing/due.py",
                "if any(payment.is_live for payment in case.payments_of(order)):",
                "if not case.payments_of(order):",
            ),
            Edit("shared_lib/billing/due.py", "if links.is_customers_turn(case, order):", "if False:"),
        ),
    ),
    Mutation(
        "W16",
        "no answer counts as no",
        f"{SILENCE}w16_an_unknown_charge_stays_unknown_until_the_provider_tells[drop_after-6]",
        (
            Edit(
                "shared_lib/billing/reports.py",
                "return PaymentEvent.TIMED_OUT",
                "return PaymentEvent.CANCELED",
            ),
        ),
    ),
    Mutation(
        "W16",
        "a key is used past its lifetime",
        f"{SILENCE}w16_past_the_lifetime_of_its_key_a_charge_is_only_asked_about_never_sent_again",
        (Edit(ASKING, "if age > _key_lives(provider):", "if age is None:"),),
    ),
    Mutation(
        "W21",
        "an event is forgotten before Kafka has acknowledged it",
        f"{KAFKA}relay.py::test_what_no_broker_has_acknowledged_stays_in_the_outbox",
        (
            Edit(
                "shared_lib/workers/kafka_relay.py",
                "fate = await self._in(",
                "await self._delete_acknowledged(Fate([row.row_id for row in rows], {}, None))\n            fate = await self._in(",
            ),
        ),
    ),
    Mutation(
        "W21",
        "the producer goes on after a failure",
        f"{KAFKA}stream.py::test_after_a_failure_nothing_more_leaves_the_stream",
        (
            Edit(
                "shared_lib/workers/kafka_stream.py",
                "future.add_errback(partial(self._failed, row.row_id))",
                "pass",
            ),
        ),
    ),
)
