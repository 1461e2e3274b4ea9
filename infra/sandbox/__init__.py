"""A simulated payment provider: a service of its own, with its own books, that speaks HTTP and shares no code."""
