"""Boxoffice: what its functions share. Start with `domain/`, then `phases/`, then any `functions/*/main.py`."""
