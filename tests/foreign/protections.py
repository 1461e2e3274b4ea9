"""What keeps foreign bytes within bounds, to be removed by `python -m tests.crash.mutations F`."""

from __future__ import annotations

from typing import Final

from tests.kit.mutations import Edit, Mutation

FETCHING: Final = "shared_lib/fetching.py"
UNTRUSTED: Final = "shared_lib/untrusted.py"
ANSWERS: Final = "tests/foreign/test_answers.py::test_"
SESSION: Final = "shared_lib/http_client/session.py"
CLIENT: Final = "tests/foreign/test_http_client.py::test_"
LIMITS: Final = "tests/foreign/test_http_client_limits.py::test_"
JSON: Final = "tests/foreign/test_untrusted.py::test_"
EVENTS: Final = "tests/foreign/test_events.py::test_"
UNREADABLE: Final = f"{ANSWERS}an_answer_that_cannot_be_read_is_a_provider_error"
MEMORY: Final = f"{ANSWERS}an_answer_costs_little_memory"

MUTATIONS: Final = (
    Mutation(
        "F",
        "a packed answer is unpacked whole",
        f"{MEMORY}[a bomb]",
        (
            Edit(
                FETCHING,
                "unpacker.decompress(chunk, bytes_max + 1 - len(body))",
                "unpacker.decompress(chunk)",
            ),
        ),
    ),
    Mutation(
        "F",
        "an answer may be as long as it likes",
        f"{MEMORY}[a body without end]",
        (
            Edit(
                FETCHING,
                "        if len(body) > bytes_max:\n            return None\n    return bytes(body)\n",
                "    return bytes(body)\n",
            ),
        ),
    ),
    Mutation(
        "F",
        "only each read is bounded in time",
        f"{UNREADABLE}[a body that drips]",
        (Edit(FETCHING, "asyncio.timeout(within_s)", "asyncio.timeout(None)"),),
    ),
    Mutation(
        "F",
        "JSON may be nested as deeply as the parser bears",
        f"{JSON}what_cannot_be_kept_is_refused_without_repeating_it",
        (Edit(UNTRUSTED, "if depth == limits.depth and", "if depth > 10_000 and"),),
    ),
    Mutation(
        "F",
        "a text with an escape in it is not looked at",
        f"{JSON}what_cannot_be_kept_is_refused_without_repeating_it",
        (Edit(UNTRUSTED, 'b"\\\\u" in raw or ', ""),),
    ),
    Mutation(
        "F",
        "brackets are not counted before levels are",
        f"{JSON}what_cannot_be_kept_is_refused_without_repeating_it",
        (Edit(UNTRUSTED, "brackets > limits.depth or ", ""),),
    ),
    Mutation(
        "F",
        "a number is not compared with what a column takes",
        f"{JSON}what_cannot_be_kept_is_refused_without_repeating_it",
        (Edit(UNTRUSTED, "return _bounded(int(digits))", "return int(digits)"),),
    ),
    Mutation(
        "F",
        "a crash of the parser is not caught",
        f"{UNREADABLE}[brackets without end]",
        (
            Edit(
                UNTRUSTED,
                '    except RecursionError:\n        raise UntrustedError("nested too deeply") from None\n',
                "",
            ),
            Edit(UNTRUSTED, "> limits.values:\n        raise", "> 10**9:\n        raise"),
        ),
    ),
    Mutation(
        "F",
        "texts of a document are not looked at",
        f"{EVENTS}data_that_cannot_be_kept_is_refused_for_good_by_every_door",
        (
            Edit(
                UNTRUSTED,
                "        case str():\n            check_text(value)\n",
                "        case str():\n            pass\n",
            ),
        ),
    ),
    Mutation(
        "F",
        "attributes of an event are not looked at",
        f"{EVENTS}an_attribute_that_cannot_be_kept_is_refused_for_good_by_every_door",
        (
            Edit("shared_lib/events/incoming.py", "for name in event:", "for name in ():"),
            Edit(
                "shared_lib/events/incoming.py",
                "check_text(str(event[name]), chars_max=NAME_CHARS_MAX)",
                "str(event[name])",
            ),
        ),
    ),
    Mutation(
        "F",
        "a value that no column takes is a passing trouble",
        f"{EVENTS}of_a_batch_only_the_item_that_cannot_be_kept_is_refused_for_good",
        (
            Edit(
                "shared_lib/store/batch.py",
                "UnicodeEncodeError, errors.ProgramLimitExceeded)",
                "UnicodeEncodeError)",
            ),
        ),
    ),
    Mutation(
        "F",
        "any link is shown",
        f"{ANSWERS}a_link_that_no_customer_should_follow_is_refused",
        (Edit("shared_lib/domain/links.py", 'return parts.scheme == "https" or', "return True or"),),
    ),
    Mutation(
        "F",
        "a link without https is shown",
        f"{ANSWERS}a_link_that_no_customer_should_follow_is_refused",
        (Edit("shared_lib/domain/links.py", "parts.hostname in _LOOPBACK", "parts.hostname"),),
    ),
    Mutation(
        "F",
        "a user's name hides where a link leads",
        "tests/foreign/test_links.py::test_what_follows_the_host_does_not_matter",
        (
            Edit(
                "shared_lib/domain/links.py",
                " or parts.username is not None or parts.password is not None",
                "",
            ),
        ),
    ),
    Mutation(
        "F",
        "what the key service answers reaches the caller",
        f"{ANSWERS}whatever_the_key_service_answers_the_known_keys_serve",
        (Edit("shared_lib/jwks.py", "except Exception as error:", "except ZeroDivisionError as error:"),),
    ),
    Mutation(
        "F",
        "bytes that came to a kept connection are the next answer",
        f"{CLIENT}an_answer_to_no_request_is_not_taken_for_the_next_one",
        (Edit(SESSION, "if not (protocol.should_close or socket.poll(0)):", "if socket:"),),
    ),
    Mutation(
        "F",
        "a kept connection is used although it has ended",
        f"{CLIENT}a_connection_that_has_ended_is_not_used_although_the_loop_has_not_seen_it_yet",
        (Edit(SESSION, " or socket.poll(0)", ""),),
    ),
    Mutation(
        "F",
        "writing has no limit",
        f"{LIMITS}a_server_that_does_not_read_is_ended_by_the_limit_on_writing",
        (Edit(SESSION, "if protocol.writing_paused and write_s is not None:", "if write_s == -1.0:"),),
    ),
    Mutation(
        "F",
        "a request that the server does not read is closed, not aborted",
        f"{LIMITS}an_answer_may_come_before_the_request_has_ended",
        (
            Edit(
                SESSION,
                "        protocol.abort()  # closing would wait",
                "        pass  # closing would wait",
            ),
        ),
    ),
    Mutation(
        "F",
        "a header of an answer that is not ASCII cannot be encoded again",
        f"{CLIENT}a_header_in_another_encoding_can_be_encoded_again",
        (Edit(SESSION, "if all(value.isascii() for _, value in self.raw_headers):", "if self.raw_headers:"),),
    ),
    Mutation(
        "F",
        "a frame of ours holds the key while it waits",
        f"{CLIENT}a_traceback_with_local_variables_does_not_show_the_key",
        (
            Edit(
                SESSION,
                "            writer.set_eof()\n",
                "            writer.set_eof()\n            head = _head(server, method, headers, body, auth)\n            assert head\n",
            ),
        ),
    ),
)
