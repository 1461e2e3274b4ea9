"""Questions to a payment provider, outside any transaction; each answer becomes an observation that a phase settles."""
