"""The edge of HTTP: one door as an ASGI app, who is asking, and one effect per idempotency key. Knows no single function."""
