"""What keeps strangers out and secrets in, to be removed by `python -m tests.crash.mutations X`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

HTTP: Final = "shared_lib/web/http.py"
REDACTION: Final = "shared_lib/redaction.py"
NGINX: Final = "infra/nginx/nginx.conf"
GRAMMAR: Final = "tests/compose/test_one_grammar.py::test_"
SECRET: Final = "tests/edge/test_redaction.py::test_a_secret_is_hidden_wherever_it_stands"
LINE_ENDS: Final = "tests/edge/test_redaction.py::test_a_line_has_an_end_whatever_it_is_given"
LINES: Final = "tests/edge/test_log_lines.py::test_"
CLIENT: Final = "tests/edge/test_client_addresses.py::test_"

MUTATIONS: Final = (
    Mutation(
        "X",
        "a pattern of the redaction reads on and fails",
        "tests/edge/test_patterns.py::test_every_pattern_is_linear_whatever_it_is_asked",
        (Edit(REDACTION, r"eyJ[\w-]{8,}(?:\.[\w-]*)*", r"eyJ[\w-]+\.[\w-]+\.[\w-]+"),),
    ),
    Mutation(
        "X",
        "an address may be as long as a server lets it",
        "tests/edge/test_paths_and_outages.py::test_an_address_has_an_end",
        (Edit(HTTP, "                check_url(request)\n", ""),),
    ),
    Mutation("X", "lines wait for a loop that has ended", f"{LINES}a_process_that_ends_has_written_its_lines", (Edit("shared_lib/log.py", "atexit.register(flush)\n", ""),)),
    Mutation("X", "an error waits beside other lines", f"{LINES}an_error_is_written_at_once_behind_what_waits", (Edit("shared_lib/log_lines.py", "critical = error", "critical = error = info"),)),
    Mutation("X", "lines are torn where processes share a pipe", f"{LINES}what_is_written_at_once_reaches_a_pipe_in_one_piece", (Edit("shared_lib/log_lines.py", "if self._bytes + size > BYTES_MAX:", "if False:"),)),
    Mutation("X", "a head waits for a body that never comes", "tests/edge/test_one_write.py::test_a_head_without_a_body_leaves_in_the_next_turn", (Edit("shared_lib/web/one_write.py", "            self._loop.call_soon(self._flush)\n", ""),)),
    Mutation("X", "a head is lost with its connection", "tests/edge/test_one_write.py::test_a_head_leaves_before_its_connection_is_closed", (Edit("shared_lib/web/one_write.py", "        self._flush()\n", ""),)),
    Mutation("X", "X-Forwarded-For is believed from any sender", f"{CLIENT}only_what_proxies_of_ours_wrote_is_read", (Edit("shared_lib/web/client.py", "not _is_ours(address, trusted) or ", ""),)),
    Mutation("X", "X-Forwarded-For is read from its beginning", f"{CLIENT}only_what_proxies_of_ours_wrote_is_read", (Edit("shared_lib/web/client.py", "reversed(said[-_ENTRIES_MAX:])", "said[-_ENTRIES_MAX:]"),)),
    Mutation("X", "X-Forwarded-For is read however long it is", f"{CLIENT}a_header_of_any_length_is_read_from_its_end_alone", (Edit("shared_lib/web/client.py", "said[-_ENTRIES_MAX:]", "said"),)),
    Mutation("X", "a hint is taken from any address", "tests/providers/test_yookassa.py::test_a_webhook_from_another_address_is_rejected_whatever_it_says", (Edit("shared_lib/providers/yookassa/adapter.py", "not is_theirs(raw.source_ip, self._networks)", "False"),)),
    Mutation("X", "a forged hint uses up the id of the true one", "tests/flows/test_yookassa.py::test_a_forged_success_settles_what_is_true", (Edit("shared_lib/asking/webhooks.py", "        if not again and _is_under_way(event):\n", "        if False:\n"),)),
    Mutation("X", "a hint about nothing is asked for again", "tests/flows/test_yookassa.py::test_a_hint_about_nothing_is_acknowledged_so_that_it_is_not_repeated", (Edit("shared_lib/asking/webhooks.py", "            if again:\n                raise\n", "            raise\n"),)),
    Mutation("X", "a long value is read to its end", LINE_ENDS, (Edit(REDACTION, "[:half]} [", "} ["),)),
    Mutation("X", "a value may be as deep as it likes", LINE_ENDS, (Edit(REDACTION, "depth >= DEPTH_MAX", "False"),)),
    Mutation("X", "a value may have as many items as it likes", LINE_ENDS, (Edit(REDACTION, "self.chars -= len(shown) + 8", "pass"),)),
    Mutation("X", "a password in an address is written", SECRET, (Edit(REDACTION, "    text = _URL.sub(_without_user, text)\n", ""),)),
    Mutation("X", "name=value is written", SECRET, (Edit(REDACTION, 'return _NAMED.sub(rf"\\1{HIDDEN}", text)', "return text"),)),
    Mutation("X", "a line of short texts is not searched for secrets", SECRET, (Edit(REDACTION, " or _is_suspect_word_in(text):\n        return False", ":\n        return False"),)),
    Mutation("X", "a line of short texts is not searched for cards", SECRET, (Edit(REDACTION, "_DIGITS_MIN not in text.encode().translate(_AS_DIGITS) and ", ""),)),
    Mutation("X", "a secret's name does not hide a short text", "tests/edge/test_redaction.py::test_the_value_of_a_secret_name_is_hidden_whatever_it_is", (Edit(REDACTION, " and not _any_secret(tuple(line))", ""),)),
    Mutation("X", "a card among other digits is written", SECRET, (Edit(REDACTION, "for first in range(len(groups))", "for first in range(1)"),)),
    Mutation(
        "X",
        "NGINX passes a header on that it did not count",
        f"{GRAMMAR}no_accepted_spelling_escapes_the_customers_limit",
        (
            Edit(NGINX, "proxy_set_header Authorization $bearer;", "proxy_set_header Authorization $http_authorization;"),
            Edit(NGINX, '"~^[ \\t]*(?i:bearer) [A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.(?<sig', '"~^Bearer [A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.(?<sig'),
        ),
    ),
    Mutation("X", "spare bits of a signature make another customer", f"{GRAMMAR}no_accepted_spelling_escapes_the_customers_limit", (Edit(NGINX, "{16,40})[A-Za-z0-9_-]*[ ", "{16,1024})[ "),)),
    Mutation("X", "a door reads more spellings than NGINX", f"{GRAMMAR}both_read_every_spelling_alike", (Edit("shared_lib/web/auth.py", "scheme, token = value[:7], value[7:]", "scheme, token = value[:7], value[7:].strip()"),)),
    Mutation("X", "the first of two Authorization headers counts", f"{GRAMMAR}both_read_every_spelling_alike", (Edit(HTTP, "if len(sent) > 1:", "if False:"),)),
    Mutation(
        "X",
        "a bad request line is sent to a name",
        "tests/compose/test_nginx_refusals.py::test_what_cannot_be_read_is_refused_in_the_doors_own_form",
        (Edit(NGINX, " =400 /problem/400;", " =400 @malformed;"), Edit(NGINX, "location = /problem/400 {\n            internal;", "location @malformed {")),
    ),
    Mutation("X", "keys serve without end", "tests/auth/test_keys.py::test_keys_end_a_day_after_the_auth_service_went_away_and_come_back_with_it", (Edit("shared_lib/jwks.py", " and self._now() - self._fetched_at <= self._trusted_for", ""),)),
    Mutation("X", "any type of token is accepted", "tests/auth/test_tokens.py::test_another_type_of_token_is_refused", (Edit("shared_lib/web/auth.py", "not isinstance(typ, str) or typ.lower()", "isinstance(typ, str) and 'jwt' not in typ.lower()"),)),
    Mutation("X", "any signature is believed", "tests/auth/test_tokens.py", (Edit("shared_lib/jwks.py", "if not algorithm.verify(signed.encode(), proof, self.key):", "if False:"),)),
    Mutation("X", "a token chooses another key's algorithm", "tests/auth/test_tokens.py", (Edit("shared_lib/jwks.py", "        if name not in (self.allowed or ()):", "        if False:"), Edit("shared_lib/jwks.py", "    algorithm.check_key(key.key)\n", ""))),
    Mutation("X", "an id token is an access token", "tests/auth/test_tokens.py::test_an_issuer_of_plain_jwts_may_be_allowed_and_its_other_tokens_stay_refused", (Edit("shared_lib/web/auth.py", "if claims.is_of_another_kind:", "if False:"),)),
    Mutation("X", "no line names the actor", "tests/edge/test_requests.py::test_each_line_names_who_asked_and_under_which_id", (Edit(HTTP, "note(actor=principal.customer_id, ", "note("),)),
    Mutation("X", "a caller writes into the log by its request id", "tests/edge/test_requests.py::test_an_id_that_is_none_is_replaced_and_stands_in_the_problem_too", (Edit(HTTP, "given and _REQUEST_ID.fullmatch(given)", "given"),)),
    Mutation("X", "an operator reads without a trace", "tests/edge/test_requests.py::test_what_an_operator_reads_leaves_a_trace_and_what_a_customer_reads_does_not", (Edit("functions/account/main.py", "if ask.customer_id is None:", "if False:"),)),
    Mutation(
        "X",
        "a script of any origin reads replies",
        "tests/edge/test_cors.py",
        (Edit("shared_lib/web/cors.py", "if origin in allowed else self._door", "if origin else self._door"),),
    ),
    Mutation(
        "X",
        "an environment that is not said is a lenient one",
        "tests/test_settings.py::test_the_environment_that_is_not_said_is_the_strict_one",
        (Edit("shared_lib/settings.py", "Environment = Environment.PRODUCTION", "Environment = Environment.LOCAL"),),
    ),
    Mutation(
        "X",
        "a settings error repeats the setting",
        "tests/test_secret_settings.py::test_the_settings_show_no_secret",
        (Edit("shared_lib/settings.py", ", Field(repr=False)]", "]"),),
    ),
    Mutation(
        "X",
        "a driver quotes the address it cannot read",
        "tests/test_secret_settings.py::test_no_process_says_a_secret_when_it_cannot_start[migrate]",
        (Edit("shared_lib/store/migrate.py", '        database_address(target)', '        pass'),),
    ),
    Mutation(
        "X",
        "a command line obeys what a customer wrote",
        "tests/cli/test_visible.py",
        (Edit("shared_lib/visible.py", "plain = map(visible, ", "plain = map(str, "),),
    ),
    Mutation(
        "X",
        "a token that says nothing erases what is known",
        "tests/flows/test_known_buyers.py",
        (Edit("shared_lib/store/offers.py", "email = coalesce(EXCLUDED.email, customers.email)", "email = EXCLUDED.email"),),
    ),
    Mutation(
        "X",
        "a log line moves the cursor",
        "tests/edge/test_redaction.py::test_no_line_moves_the_cursor_or_the_reader",
        (Edit(REDACTION, "    return visible(read)", "    return read"),),
    ),
    Mutation(
        "X",
        "an id with dashes between its digits ends the request that would log it",
        "tests/edge/test_redaction.py::test_every_uuid_can_be_logged",
        (Edit(REDACTION, 'digits = re.sub("[ -]", "", run)', "digits = run"),),
    ),
)  # fmt: skip
