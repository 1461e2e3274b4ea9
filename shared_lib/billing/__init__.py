"""Decisions: what a report, a request or the calendar makes of a case. Values in, values out; `domain` and `ids` alone."""
