"""`cinema` and what it stands on come from tests/cinema_fixtures.py."""
