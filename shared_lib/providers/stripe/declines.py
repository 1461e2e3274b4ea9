"""What a refused charge means: Stripe's advice first, then its codes, then those of the card network.

Stripe publishes codes with a next step and no split into soft and hard: the split is ours. Sources: Stripe's pages about
decline codes and advice codes; Visa's categories of declines (category 1: never again); Mastercard's merchant advice codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from shared_lib.providers.base import Decline, DeclineKind, DeclineReason
from shared_lib.providers.reading import text_or_none

_ADVICE: Final[Mapping[str, DeclineKind]] = MappingProxyType(
    {
        "do_not_try_again": DeclineKind.HARD,
        "confirm_card_data": DeclineKind.ACTION_REQUIRED,
        "try_again_later": DeclineKind.SOFT,
    }
)
_AUTHENTICATION: Final = frozenset(
    {
        "authentication_required", "authentication_not_handled", "payment_intent_authentication_failure",
        "setup_intent_authentication_failure",
    }
)  # fmt: skip
_HARD: Final = frozenset(
    {
        "expired_card", "incorrect_number", "invalid_number", "invalid_account", "lost_card", "stolen_card",
        "pickup_card", "restricted_card", "revocation_of_authorization", "revocation_of_all_authorizations",
        "stop_payment_order", "new_account_information_available", "card_not_supported", "currency_not_supported",
        "service_not_allowed", "security_violation", "transaction_not_allowed", "merchant_blacklist", "fraudulent",
        "highest_risk_level",
    }
)  # fmt: skip
_VISA_NEVER: Final = frozenset(["04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"])
_MASTERCARD_NEVER: Final = frozenset({"03", "21"})
_MASTERCARD_WAITS: Final[Mapping[str, timedelta]] = MappingProxyType(
    {
        "24": timedelta(hours=1),
        "25": timedelta(hours=24),
        "26": timedelta(days=2),
        "27": timedelta(days=4),
        "28": timedelta(days=6),
        "29": timedelta(days=8),
        "30": timedelta(days=10),
    }
)
_TRY_LATER: Final = frozenset(
    {"processing_error", "issuer_not_available", "reenter_transaction", "try_again_later"}
)
_AUTHENTICATE: Final = "authentication_required"
_DECLINED: Final = "card_declined"  # the reason is hidden from a thief too


def decline_of(error: Mapping[str, Any]) -> Decline:
    """From `last_payment_error` or the error of a 402. An unknown code is SOFT: tried again a limited number of times.

    Raises Unreadable.
    """
    code = text_or_none(error, "code") or "unknown"
    cause = text_or_none(error, "decline_code") or code
    kind = _kind(error, {code, cause})
    return Decline(
        kind=kind,
        reason=_reason(kind, {code, cause}),
        provider_code=cause,
        retry_after=_MASTERCARD_WAITS.get(text_or_none(error, "network_advice_code") or "")
        if kind is DeclineKind.SOFT
        else None,
    )


def _kind(error: Mapping[str, Any], codes: set[str]) -> DeclineKind:
    advised = _ADVICE.get(text_or_none(error, "advice_code") or "")
    if advised is not None:
        return advised
    if codes & _AUTHENTICATION:
        return DeclineKind.ACTION_REQUIRED
    if codes & _HARD:
        return DeclineKind.HARD
    if text_or_none(error, "network_advice_code") in _MASTERCARD_NEVER:
        return DeclineKind.HARD
    if text_or_none(error, "network_decline_code") in _VISA_NEVER and "generic_decline" in codes:
        return DeclineKind.HARD  # Stripe says no more than that it was declined
    return DeclineKind.SOFT


def _reason(kind: DeclineKind, codes: set[str]) -> str:
    if codes & _AUTHENTICATION:
        return _AUTHENTICATE
    if "expired_card" in codes:
        return DeclineReason.CARD_EXPIRED
    if "insufficient_funds" in codes:
        return DeclineReason.INSUFFICIENT_FUNDS
    return "try_again_later" if kind is DeclineKind.SOFT and codes & _TRY_LATER else _DECLINED
