"""The sandbox's own wire format: JSON over HTTP, with Standard Webhooks."""
