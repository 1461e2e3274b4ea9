"""Processes that run beside the doors: each is a bounded `run_once` and a loop around it."""
