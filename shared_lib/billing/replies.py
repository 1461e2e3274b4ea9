"""A request's idempotency key, and the reply that is kept with it."""

from __future__ import annotations

from shared_lib.domain.values import Value


class Key(Value):
    """A client's key. Its space is one customer and one route; the fingerprint is of the validated request."""

    customer_id: str
    route: str
    key: str
    fingerprint: bytes

    @property
    def address(self) -> tuple[str, str, str]:
        return self.customer_id, self.route, self.key


class SavedReply(Value):
    """The bytes that answered the first request, and will answer every other one with its key."""

    status: int
    body: bytes
    location: str | None = None
