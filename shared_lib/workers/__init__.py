"""Processes that run beside the doors: relay, trigger and clock."""
