"""What is kept of a provider's failure says enough for support, and nothing that must not be kept."""

from __future__ import annotations

from shared_lib.asking.failures import FAILURE_CHARS_MAX, failure_of, our_own
from shared_lib.providers.base import InvalidRequest, OutcomeUnknown, Unavailable


def test_a_failure_names_class_code_status_and_message() -> None:
    unknown = OutcomeUnknown("sandbox", "internal_error", "no answer that can be believed", http_status=500)
    assert failure_of(unknown) == "OutcomeUnknown internal_error, HTTP 500: no answer that can be believed"
    assert (
        failure_of(Unavailable("sandbox", "not_reached", "ConnectError"))
        == "Unavailable not_reached: ConnectError"
    )


def test_a_failure_holds_no_secret_no_card_no_address_and_is_short() -> None:
    said = f"key sk_{'live'}_abcdefgh1234 of ann@example.com, card 4242 4242 4242 4242,\nAuthorization: Bearer abc.def.ghi"
    kept = failure_of(InvalidRequest("sandbox", "bad", said, http_status=400))
    for word in ("sk_live", "ann@", "4242 4242", "abc.def", "\n"):
        assert word not in kept
    assert "[address]" in kept
    assert len(failure_of(InvalidRequest("sandbox", "bad", "x" * 10_000))) == FAILURE_CHARS_MAX


def test_of_a_bug_the_class_alone_is_kept() -> None:
    assert "secret" not in our_own(KeyError("secret"))
    assert "KeyError" in our_own(KeyError("secret"))
