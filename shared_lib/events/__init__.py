"""Incoming CloudEvents: how an event is read, and how its sender proves itself. No other room imports the SDK."""
