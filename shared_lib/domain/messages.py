"""Statuses of what others told us, of what we tell customers, and of what is set aside."""

from __future__ import annotations

from enum import StrEnum


class InboxStatus(StrEnum):
    DONE = "done"
    PARKED = "parked"  # about something we do not know yet; re-applied by reconcile
    ORPHANED = "orphaned"  # still unknown after a day: a human looks


class NotificationStatus(StrEnum):
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"  # surely not sent; a job sends it again
    REFUSED = "refused"  # its address will never be accepted, or it was given up after days
    UNKNOWN = "unknown"  # may have been sent; never sent again by itself
    SKIPPED = "skipped"  # no address


class SetAsideKind(StrEnum):
    """What can be set aside: its id is that of the row, for a message of the inbox "source/event id"."""

    SUBSCRIPTION = "subscription"
    PAYMENT = "payment"
    REFUND = "refund"
    MESSAGE = "message"
