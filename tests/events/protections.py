"""What keeps events honest, to be removed by `python -m tests.crash.mutations E`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

PLAYING: Final = "tests/flows/test_playing.py::test_"
CHOICE: Final = "tests/domain/test_playing.py::test_"
RULES: Final = "shared_lib/domain/playing.py"
PLAYS: Final = "shared_lib/phases/playback.py"
PROOF, TOKENS = "tests/events/test_proof.py::test_", "tests/events/test_sender_tokens.py::test_"
MAILS: Final = "tests/flows/test_mails.py::test_"
SES: Final = "shared_lib/channels/email_ses.py"
PROMISES: Final = "tests/flows/test_promises.py::test_"
SHOWN: Final = "tests/test_mail_settings.py::test_"
ROWS: Final = "tests/events/test_mail_from_rows.py::test_"
GATE, GUARD = "shared_lib/events/gate.py", "shared_lib/events/proof.py"
TOKEN_GUARD = "shared_lib/events/tokens.py"
FORGED: Final = f"{PROOF}a_forged_event_is_refused_by_every_door"

MUTATIONS: Final = (
    Mutation(
        "E",
        "one bad event of a batch stops those behind it",
        "tests/events/test_content_modes.py::test_one_bad_event_of_a_batch_stops_no_other_and_is_named",
        (
            Edit(
                "shared_lib/events/delivered.py",
                "            refusal = refusal_for(error, **named)\n",
                "            raise\n",
            ),
        ),
    ),
    Mutation(
        "E",
        "a batch that may succeed later is refused for good",
        "tests/events/test_content_modes.py::test_a_batch_is_repeated_while_any_event_of_it_may_be_handled_later",
        (Edit("shared_lib/events/delivered.py", "Code.UNAVAILABLE if 503 in statuses else", ""),),
    ),
    Mutation(
        "E",
        "a PingSource's tick is refused",
        "tests/events/test_knative_senders.py::test_a_pingsource_makes_renewals_begin",
        (
            Edit(
                "functions/renew/main.py",
                "    PING: take_tick,\n",
                "",
            ),
        ),
    ),
    Mutation(
        "E",
        "what else the cinema publishes becomes dead letters",
        "tests/events/test_knative_senders.py::test_what_else_the_cinema_publishes_is_taken_and_left_alone",
        (Edit("functions/playback/main.py", 'if event.type.partition(".")[0] == OURS:', "if True:"),),
    ),
    Mutation(
        "E",
        "a play before its access is not noted",
        f"{PLAYING}a_slow_clock_starts_the_rental_all_the_same",
        (
            Edit(
                RULES,
                "    at = min(max(started_at, entitlement.starts_at), now)",
                "    at = min(started_at, now)",
            ),
        ),
    ),
    Mutation(
        "E",
        "a device that says 1970 ends a rental as it begins",
        f"{PLAYING}an_absurd_instant_starts_a_rental_that_lasts",
        (Edit(RULES, "        at = max(at, now - TRAVEL_MAX)", "        pass"),),
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
        (
            Edit(
                "shared_lib/billing/plays.py",
                "honored(entitlement, order.period_n, renewal).ends_at",
                "entitlement.ends_at",
            ),
        ),
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
        (Edit(RULES, "return PLAYS + self.source, self.event_id", "return self.source, self.event_id"),),
    ),
    Mutation(
        "E",
        "the body of an event is believed whatever signed it",
        f"{FORGED}[another body]",
        (Edit(GATE, "guard.verify(headers, raw, body)", "pass"),),
    ),
    Mutation(
        "E",
        "attributes of an event are not signed",
        f"{FORGED}[another type]",
        (Edit(GUARD, 'name.startswith(b"ce-") or ', ""),),
    ),
    Mutation(
        "E",
        "a signed event stays good",
        f"{FORGED}[replayed late]",
        (Edit("shared_lib/standard_webhook.py", "> TOLERANCE:", "> 1000 * TOLERANCE:"),),
    ),
    Mutation(
        "E",
        "a door of people takes events of anyone",
        f"{FORGED}[unsigned]",
        (Edit(GATE, 'or scope["path"] == EVENTS_PATH', ""),),
    ),
    Mutation(
        "E",
        "a door of events is guarded at one path only",
        f"{PROOF}a_door_of_events_alone_says_no_like_every_other",
        (Edit(GATE, "(self._everything or ", "("),),
    ),
    Mutation(
        "E",
        "the body of an event has no bound",
        f"{PROOF}a_body_has_a_bound",
        (
            Edit("shared_lib/bodies.py", "if size > bytes_max:", "if False:"),
            Edit("shared_lib/bodies.py", "int(announced) > bytes_max", "False"),
        ),
    ),
    Mutation(
        "E",
        "any service account of the cluster may send",
        f"{TOKENS}a_token_of_a_known_sender_is_a_proof_and_any_other_is_none",
        (Edit(TOKEN_GUARD, "if claims.sub not in self._subjects:", "if False:"),),
    ),
    Mutation(
        "E",
        "a door in production starts although it believes no sender",
        f"{TOKENS}with_neither_nothing_is_believed",
        (Edit("shared_lib/web/asgi.py", "if guard.accepts_nothing and", "if False and"),),
    ),
    Mutation(
        "E",
        "a door that does not believe the relay makes dead letters",
        "tests/workers/test_http_sink_and_clock.py::test_a_door_that_does_not_believe_us_is_asked_until_it_does",
        (Edit("shared_lib/workers/http_sink.py", "if answer.status == UNPROVEN:", "if False:"),),
    ),
    Mutation(
        "E",
        "a no about our sender is a no for good",
        f"{MAILS}a_mail_service_that_lost_our_sender_delays_mails_and_loses_none",
        (
            Edit(SES, " or (400 <= status < 500 and _ABOUT_US.search(said))", ""),
            Edit(SES, "if _ABOUT_THE_ADDRESS.search(said) else SendLater(code)", ""),
        ),
    ),
    Mutation(
        "E",
        "a mail that did not leave is not sent again",
        f"{MAILS}a_mail_service_that_lost_our_sender_delays_mails_and_loses_none",
        (
            Edit(
                "shared_lib/phases/notifications.py",
                "for mark in marks if mark.again]",
                "for mark in marks if False]",
            ),
        ),
    ),
    Mutation(
        "E",
        "a stopped channel is asked by every mail",
        "tests/mail/test_email_ses.py::test_a_stopped_channel_is_asked_by_one_message_after_each_pause",
        (Edit("shared_lib/channels/breaker.py", "if self._clock() < self._until:", "if False:"),),
    ),
    Mutation(
        "E",
        "a mail repeats the text of its event",
        f"{ROWS}a_forgers_text_reaches_no_customer",
        (
            Edit(
                "functions/notify/main.py", "rendered(event.type, known,", "rendered(event.type, event.data,"
            ),
        ),
    ),
    Mutation(
        "E",
        "a mail about another customer's order is sent",
        f"{ROWS}an_event_about_what_its_customer_does_not_have_is_refused_for_good",
        (
            Edit(
                "shared_lib/queries/mails.py",
                "orders.id = %s AND orders.customer_id = %s AND orders.paid_at",
                "orders.id = %s AND %s <> '' AND orders.paid_at",
            ),
        ),
    ),
    Mutation(
        "E",
        "a mail that is not true any more is sent",
        f"{PROMISES}a_mail_that_comes_too_late_to_be_true_is_not_sent",
        (Edit("functions/notify/main.py", "    if known.over:", "    if known.over is None:"),),
    ),
    Mutation(
        "E",
        "a card that was removed counts as one that was never saved",
        f"{PROMISES}the_mail_says_why_the_renewal_must_be_paid_on_a_page[removed by its owner]",
        (
            Edit(
                "shared_lib/store/leasing.py",
                "unusable[method_id] = LocalOutcome.METHOD_REMOVED",
                "unusable[method_id] = LocalOutcome.NO_METHOD",
            ),
        ),
    ),
    Mutation(
        "E",
        "a mail shows another name than the cinema's",
        "tests/mail/test_links.py::test_every_link_of_every_mail_leads_to_a_page",
        (Edit("functions/notify/main.py", "name=settings.cinema_name,", 'name="Boxoffice",'),),
    ),
    Mutation(
        "E",
        "production mails with placeholders",
        f"{SHOWN}in_production_a_placeholder_stops_the_process_that_mails_and_no_other",
        (Edit("shared_lib/settings.py", "(wrong := own.placeholders)", "(wrong := own.placeholders[:0])"),),
    ),
    Mutation(
        "E",
        "a name with a line break is taken",
        f"{SHOWN}what_could_add_a_header_or_lead_elsewhere_is_refused_everywhere",
        (Edit("shared_lib/addresses.py", " or not name.isprintable()", ""),),
    ),
)
