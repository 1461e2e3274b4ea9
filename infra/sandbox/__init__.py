"""A simulated payment provider: a service of its own, with its own books, that shares no code with Boxoffice."""
