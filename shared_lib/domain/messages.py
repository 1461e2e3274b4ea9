"""Messages from providers and to customers, and rows that are set aside."""

from __future__ import annotations

from enum import StrEnum

from shared_lib.domain.values import Value


class InboxStatus(StrEnum):
    DONE = "done"
    PARKED = "parked"  # about something we do not know yet; re-applied by reconcile
    ORPHANED = "orphaned"  # still unknown after a day: a human looks


class NotificationStatus(StrEnum):
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"  # surely not sent; a job sends it again
    REFUSED = "refused"  # its address will never be accepted, or it was given up after days
    UNKNOWN = "unknown"  # may have been sent; an operator decides whether it is sent again
    SKIPPED = "skipped"  # no address


class SetAsideKind(StrEnum):
    """What can be set aside: its id is that of the row, for a message of the inbox "source/event id"."""

    SUBSCRIPTION = "subscription"
    PAYMENT = "payment"
    REFUND = "refund"
    MESSAGE = "message"


class SetAside(Value, kw_only=True):
    """A row to set aside, with the reason in a few words."""

    kind: SetAsideKind
    id: str
    reason: str


class Due(Value):
    """The id of a row to be decided now. `again`: it was set aside before."""

    id: str
    again: bool = False


class AutoRenewChange(Value, kw_only=True):
    """The customer's change of a subscription's auto_renew, counted from 1."""

    subscription_id: str
    number: int
