"""Statuses of what others told us and of what we tell customers."""

from __future__ import annotations

from enum import StrEnum


class InboxStatus(StrEnum):
    DONE = "done"
    PARKED = "parked"  # about something we do not know yet; re-applied by reconcile
    ORPHANED = "orphaned"  # still unknown after a day: a human looks


class NotificationStatus(StrEnum):
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"  # surely not sent; sent again
    REFUSED = "refused"  # will never be accepted
    UNKNOWN = "unknown"  # may have been sent; never sent again by itself
    SKIPPED = "skipped"  # no address
